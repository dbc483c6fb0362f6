/**
 * `npm run bench -- size`: how much there may be of anything. Many entries, many connections, large bodies, and what is
 * put out when there is no room: cost stays flat and memory bounded. `--readme` puts the tables into the README; further
 * words choose among `entries`, `connections`, `bodies`, `eviction`, `install`.
 */
import type { Plan } from './measure.ts'
import { bodiesTable } from './size/bodies.ts'
import { connectionsTable } from './size/connections.ts'
import { entriesTable } from './size/entries.ts'
import { evictionTable } from './size/eviction.ts'
import { installTable } from './size/install.ts'

const tables: Readonly<Record<string, (plan: Plan) => Promise<string>>> = {
  entries: entriesTable,
  connections: connectionsTable,
  bodies: bodiesTable,
  eviction: evictionTable,
  install: installTable,
}

/** Measures, and gives the tables; all of them where none is named. Each is given to `keep` as soon as it is there. */
export const size = async (
  plan: Plan,
  words: readonly string[],
  keep: (name: string, table: string) => void,
): Promise<string> => {
  const chosen = Object.keys(tables).filter((name) => words.includes(name))
  const texts: string[] = []
  for (const [name, table] of Object.entries(tables)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue
    const text = await table(plan)
    texts.push(text)
    keep(`size ${name}`, text)
  }
  return texts.join('\n\n')
}
