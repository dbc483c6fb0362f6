/** A path answered by the edge itself, outside the chain: no exchange is opened for it. */
import type { ProxyResponse } from '../core/types.ts'

/** The metrics page. */
export interface LocalPage {
  readonly path: string
  readonly answer: (accept: string | undefined) => Promise<{ contentType: string; body: string }>
}

/** Whether a request target is that page's. */
export const isPage = ({ path }: LocalPage, url: string): boolean =>
  url.startsWith(path) && url.split('?', 1)[0] === path

/** Its answer, whole; a fault in making it is reported and answered with 500. Never rejects. */
export const pageAnswer = async (
  { answer }: LocalPage,
  request: { readonly method: string | undefined; readonly accept: string | undefined },
  onInternalError: (error: unknown) => void,
): Promise<ProxyResponse & { readonly body: Buffer }> => {
  const { accept, method } = request
  const none = Buffer.alloc(0)
  if (method !== 'GET' && method !== 'HEAD')
    return { status: 405, headers: ['allow', 'GET, HEAD'], body: none }
  try {
    const { contentType, body } = await answer(accept)
    const bytes = Buffer.from(body)
    return {
      status: 200,
      headers: ['content-type', contentType, 'content-length', String(bytes.length)],
      body: method === 'HEAD' ? none : bytes,
    }
  } catch (error) {
    onInternalError(error)
    return { status: 500, headers: [], body: none }
  }
}
