/** Keeps the few worst of many, one for each name. */

/** A bounded list, the worst first. */
export interface Worst<T> {
  /** Takes `item`; of those with the same name the worst stays. */
  add(name: string, rank: number, item: T): void
  items(): T[]
}

/** Keeps `most` items of the highest rank; of equals those that came first. */
export const worst = <T>(most: number): Worst<T> => {
  let kept: Array<{ name: string; rank: number; item: T }> = []
  return {
    add(name, rank, item) {
      const last = kept.at(-1)
      if (kept.length === most && last !== undefined && rank <= last.rank) return
      const same = kept.find((each) => each.name === name)
      if (same !== undefined && rank <= same.rank) return
      kept = [...kept.filter((each) => each !== same), { name, rank, item }]
        .sort((a, b) => b.rank - a.rank)
        .slice(0, most)
    },
    items: () => kept.map(({ item }) => item),
  }
}
