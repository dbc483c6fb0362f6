/** The parts of `jaeger-client` 3.19 in use; it has no types, and may not be installed. */

declare module 'jaeger-client/dist/src/thrift.js' {
  interface Encoded {
    readonly err: Error | null
    readonly value: Buffer
  }
  interface JaegerThrift {
    readonly Tag: new (fields: object) => object
    readonly Span: new (fields: object) => object
    readonly Process: new (fields: object) => object
    readonly Batch: { new (fields: object): object; readonly rw: { toBuffer(batch: object): Encoded } }
  }
  // CommonJS with `exports.default`: an import finds that below `default`.
  const exported: { readonly default: { readonly _thrift: JaegerThrift } }

  export { exported as default }
}

declare module 'jaeger-client/dist/src/reporters/udp_sender.js' {
  type Told = (spans: number, error?: unknown) => void
  interface UDPSender {
    /** Its socket. */
    readonly _client?: { unref?(): void }
    setProcess(process: object): void
    append(span: object, told: Told): void
    flush(told: Told): void
    close(): void
  }
  const exported: {
    readonly default: new (options: {
      host: string
      port: number
      socketType: 'udp4' | 'udp6'
      maxPacketSize: number
    }) => UDPSender
  }

  export { exported as default }
}
