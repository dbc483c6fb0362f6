/** `revproxy explain`: the explanation of one request, for people. */
import type { Explanation } from '../cache/explanation.ts'
import { escapeControl } from '../observe/escape.ts'
import { type ColorLevel, palette } from '../observe/palette.ts'
import { formatSeconds, formatSize } from '../observe/units.ts'

const seconds = (value: number): string => `${Math.round(value * 10) / 10} s`

/** The explanation as text, each part under a heading of its own. Ends with a line end. */
export const explanationText = (given: Explanation, color: ColorLevel): string => {
  const paint = palette(color)
  const by = {
    hit: paint.fresh,
    stale: paint.renewed,
    revalidate: paint.renewed,
    miss: paint.fetched,
    bypass: paint.quiet,
  }[given.verdict]
  const lines: string[] = []
  const heading = (text: string): void => void lines.push('', paint.strong(text))
  const row = (name: string, text: string): void =>
    void lines.push(`  ${paint.quiet(name.padEnd(10))}  ${escapeControl(text)}`)

  lines.push(`${escapeControl(given.request.method)} ${escapeControl(given.request.url)}`)
  lines.push(`${by(given.verdict.toUpperCase())}  ${paint.quiet(given.reason)}`)
  lines.push(escapeControl(given.sentence))

  heading('Rules, in the order in which they were tested')
  for (const { rule, section, passed, because } of given.steps) {
    const mark = passed ? paint.fresh('✓') : paint.fetched('✗')
    lines.push(`  ${mark} ${rule} ${paint.quiet(`(${section})`)}: ${escapeControl(because)}`)
  }

  heading('Key')
  row('asked', given.key.replaceAll('\n', '  '))
  if (given.nearest !== undefined) {
    row('nearest', given.nearest.key.replaceAll('\n', '  '))
    row('differs in', given.nearest.difference)
  }

  if (given.variants.length > 0) {
    heading(`Variants: ${given.variants.length}`)
    for (const variant of given.variants) {
      const selects = variant.selects.map(({ name, value }) => `${name}: ${value ?? '(absent)'}`).join(', ')
      const verdict = variant.matches
        ? paint.fresh('matches')
        : paint.fetched(escapeControl(`differs in ${variant.differsIn}`))
      lines.push(
        `  ${escapeControl(selects)}  ${verdict}  ${paint.quiet(`${formatSize(variant.bytes)}, stored ${formatSeconds(variant.ageSeconds)} ago`)}`,
      )
    }
  }

  const { freshness } = given
  if (freshness !== undefined) {
    heading('Freshness')
    const guess =
      freshness.source === 'heuristic'
        ? ' (RFC 9111 §4.2.2: a tenth of the time since Last-Modified, a day at most)'
        : ''
    row('lifetime', `${seconds(freshness.lifetime)} from ${freshness.source}${guess}`)
    row(
      'age',
      `${seconds(freshness.currentAge)} = corrected ${seconds(freshness.correctedAge)} (apparent ${seconds(freshness.apparentAge)}) + resident ${seconds(freshness.residentTime)}`,
    )
    row('left', `${seconds(freshness.left)}${freshness.left > 0 ? '' : ': stale'}`)
    if (freshness.staleWhileRevalidate !== undefined)
      row('then', `stale-while-revalidate for ${freshness.staleWhileRevalidate} s`)
    if (freshness.staleIfError !== undefined)
      row('on error', `stale-if-error for ${freshness.staleIfError} s`)
  }
  if (given.stored !== undefined) {
    heading('Stored')
    row('status', String(given.stored.status))
    row('size', formatSize(given.stored.bytes))
    row('served', `${given.stored.hits} ${given.stored.hits === 1 ? 'time' : 'times'}`)
    if (given.stored.setsCookie === true)
      row(
        'cookie',
        'Set-Cookie is stored with it: all who get it get that cookie (--no-cache-cookies refuses that)',
      )
    if (given.stored.forcedOver !== undefined) row('forced', `over ${given.stored.forcedOver}`)
  }
  if (given.remedy !== undefined) {
    heading('What would have made it a hit')
    lines.push(`  ${escapeControl(given.remedy)}`)
  }
  return `${lines.join('\n')}\n`
}
