/** Secrets in the text of bodies, of which only the beginning may be there. Each pass takes time linear in the length. */
import type { TextKind } from '../http/media-type.ts'

/** What stands for a secret. */
export const HIDDEN = '***'

/** What is secret by its name, and what hides secrets in URLs. */
export interface BodySecrets {
  readonly secret: (name: string) => boolean
  readonly url: (text: string) => string
}

/**
 * The text without the values of secret names: members of JSON, form fields (also of an HTML page), elements and
 * attributes of XML, lines such as `Authorization: …`, parameters of URLs.
 */
export const redactedBody = (text: string, kind: TextKind, { secret, url }: BodySecrets): string => {
  // The pairs of a form are those of a query.
  if (kind === 'form') return url(`?${text}`).slice(1)
  if (kind === 'json') return url(withoutMembers(text, STRICT_NAME, secret))
  const markup = text.includes('<') ? withoutMarkup(text, secret) : text
  const quoted = withoutMembers(withoutMembers(markup, LOOSE_NAME, secret), BARE_NAME, secret)
  return url(withoutLines(quoted, secret))
}

/** The next string of JSON, also one that is cut off (or each quote in it would be tried anew), and whether it is a name. */
const STRICT_NAME = /"([^"\\]*(?:\\.[^"\\]*)*)(?:"(\s*:\s*)?|\\?$)/gs
/** In other text a quote may be anything: only what looks like a name is taken for one; it may stand in single quotes. */
const LOOSE_NAME = /["']([\w.$-]{1,100})["'](\s*:\s*)/g
/** Without quotes, before a value that has some: in scripts, in GraphQL. */
const BARE_NAME = /(?<![\w.$-])([\w.$-]{1,100})(\s*[:=]\s*)(?=["'])/g
/** A line that gives a name a value: field lines that somebody echoes, YAML, settings. */
const LINE = /^([ \t>*#-]*(?:export[ \t]+)?([a-z_][\w.-]{0,99})[ \t]*[:=][ \t]*)([^\s"'].*)$/gim

const withoutMembers = (text: string, name: RegExp, secret: (name: string) => boolean): string => {
  let shown = ''
  let from = 0
  name.lastIndex = 0
  for (let match = name.exec(text); match !== null; match = name.exec(text)) {
    if (match[2] === undefined || !secret(unescaped(match[1]!))) continue
    const start = name.lastIndex
    const end = valueEnd(text, start)
    shown += `${text.slice(from, start)}"${HIDDEN}"`
    from = end
    name.lastIndex = end
  }
  return from === 0 ? text : shown + text.slice(from)
}

const withoutLines = (text: string, secret: (name: string) => boolean): string =>
  text.replace(LINE, (all, before: string, name: string) => (secret(name) ? before + HIDDEN : all))

const unescaped = (name: string): string => {
  if (!name.includes('\\')) return name
  try {
    return JSON.parse(`"${name}"`) as string
  } catch {
    return name
  }
}

const STRING = /"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?$)|'[^'\\]*(?:\\.[^'\\]*)*(?:'|\\?$)/sy
const SCALAR = /[^\s,}\]"']*/y
const OPENING_OR_CLOSING = /"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?$)|[[\]{}]/gs

/** Where the value that begins there ends: a string, an object or array as a whole, or a bare word. */
const valueEnd = (text: string, start: number): number => {
  const first = text[start]
  if (first === '"' || first === "'") {
    STRING.lastIndex = start
    STRING.exec(text)
    return STRING.lastIndex === 0 ? text.length : STRING.lastIndex
  }
  if (first !== '{' && first !== '[') {
    SCALAR.lastIndex = start
    SCALAR.exec(text)
    return SCALAR.lastIndex
  }
  let depth = 0
  OPENING_OR_CLOSING.lastIndex = start
  for (let match = OPENING_OR_CLOSING.exec(text); match !== null; match = OPENING_OR_CLOSING.exec(text)) {
    if (match[0] === '{' || match[0] === '[') depth++
    else if (match[0] === '}' || match[0] === ']') depth--
    if (depth === 0) return OPENING_OR_CLOSING.lastIndex
  }
  return text.length
}

/** A tag, also one that the end of the text cuts off. */
const TAG = /<([\w:.-]+)((?:[^<>"']|"[^"]*(?:"|$)|'[^']*(?:'|$))*)(>(?:<!\[CDATA\[.*?(?:\]\]>|$)|[^<]*))?/gs
const ATTRIBUTE = /([\w:.-]+)(\s*=\s*)("[^"]*(?:"|$)|'[^']*(?:'|$)|[^\s"'>]+)/g

const withoutMarkup = (text: string, secret: (name: string) => boolean): string =>
  text.replace(TAG, (_, element: string, attributes: string, content = '') => {
    // <input name="csrf_token" value="…"> and <meta name="csrf-token" content="…">: one attribute names another.
    const named = [...attributes.matchAll(ATTRIBUTE)].some(
      ([, name, , value]) => /^(?:name|id|key|property)$/i.test(name!) && secret(bare(value!)),
    )
    const shown = attributes.replace(ATTRIBUTE, (whole, name: string, equals: string) =>
      secret(name) || (named && /^(?:value|content)$/i.test(name)) ? `${name}${equals}"${HIDDEN}"` : whole,
    )
    const local = element.slice(element.indexOf(':') + 1)
    return `<${element}${shown}${secret(local) && content.length > 1 ? `>${HIDDEN}` : content}`
  })

const bare = (value: string): string => value.replace(/^["']|["']$/g, '')
