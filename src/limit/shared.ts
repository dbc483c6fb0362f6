/** The one Redis command the limiter sends; node-redis clients, single or cluster, have it. */
export interface RedisClientLike {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
}

/** The connection the cache opened; whoever opened it also closes it and listens to its errors. */
export interface SharedRedis {
  readonly client: RedisClientLike
  /** False while there is no connection: then Redis is not even asked. */
  readonly isReady: () => boolean
}
