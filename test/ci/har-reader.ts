/** A reader of HAR 1.2 that knows nothing of ours: every field of the specification that must be there, with its type. */
import assert from 'node:assert/strict'

interface Pair {
  readonly name: string
  readonly value: string
}

/** What tests look at. */
export interface HarEntry {
  readonly request: {
    readonly method: string
    readonly url: string
    readonly headers: readonly Pair[]
    readonly queryString: readonly Pair[]
    readonly bodySize: number
    readonly postData?: { readonly mimeType: string; readonly text: string; readonly comment?: string }
  }
  readonly response: {
    readonly status: number
    readonly bodySize: number
    readonly content: {
      readonly size: number
      readonly text?: string
      readonly encoding?: string
      readonly comment?: string
    }
  }
  readonly _cache?: string
}

type Shape = 'string' | 'number' | 'date' | readonly [Shape] | { readonly [name: string]: Shape }

const pair: Shape = { name: 'string', value: 'string' }
const entry: Shape = {
  startedDateTime: 'date',
  time: 'number',
  request: {
    method: 'string',
    url: 'string',
    httpVersion: 'string',
    cookies: [pair],
    headers: [pair],
    queryString: [pair],
    headersSize: 'number',
    bodySize: 'number',
  },
  response: {
    status: 'number',
    statusText: 'string',
    httpVersion: 'string',
    cookies: [pair],
    headers: [pair],
    content: { size: 'number', mimeType: 'string' },
    redirectURL: 'string',
    headersSize: 'number',
    bodySize: 'number',
  },
  cache: {},
  timings: { send: 'number', wait: 'number', receive: 'number' },
}
const har: Shape = {
  log: { version: 'string', creator: { name: 'string', version: 'string' }, entries: [entry] },
}

/** Checks a document against http://www.softwareishard.com/blog/har-12-spec/ and gives its entries. */
export const checkHar = (document: unknown): HarEntry[] => {
  check(document, har, 'har')
  const { log } = document as {
    log: { version: string; entries: Array<HarEntry & { time: number; timings: Record<string, number> }> }
  }
  assert.equal(log.version, '1.2')
  for (const { request, response, time, timings } of log.entries) {
    new URL(request.url)
    const { content } = response
    if (content.text !== undefined) {
      assert.equal(typeof content.text, 'string')
      assert.ok(content.encoding === undefined || content.encoding === 'base64')
    }
    if (request.postData !== undefined)
      check(request.postData, { mimeType: 'string', text: 'string' }, 'postData')
    // The parts that apply add up to the whole (§timings); -1 says that one does not.
    const sum = ['blocked', 'dns', 'connect', 'send', 'wait', 'receive'].reduce(
      (total, part) => total + Math.max(0, timings[part] ?? -1),
      0,
    )
    assert.ok(Math.abs(sum - time) < 0.01, `${sum} is not ${time}`)
  }
  return log.entries
}

const check = (value: unknown, shape: Shape, where: string): void => {
  if (shape === 'date') {
    assert.match(String(value), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(?:Z|[+-]\d\d:\d\d)$/, where)
  } else if (typeof shape === 'string') assert.equal(typeof value, shape, where)
  else if (Array.isArray(shape)) {
    assert.ok(Array.isArray(value), where)
    for (const [at, each] of value.entries()) check(each, shape[0] as Shape, `${where}[${at}]`)
  } else {
    assert.ok(typeof value === 'object' && value !== null, where)
    for (const [name, inner] of Object.entries(shape))
      check((value as Record<string, unknown>)[name], inner as Shape, `${where}.${name}`)
  }
}
