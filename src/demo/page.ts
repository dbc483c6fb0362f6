const links: ReadonlyArray<readonly [href: string, about: string]> = [
  ['/api/echo?echo=test', 'answers with what echo says; POST, PUT and PATCH get their body back'],
  ['/api/fibonacci?pos=10000', 'an exact number, worked out the slow way: ask twice and see the cache'],
  ['/api/slow?ms=2000', 'answers after so many milliseconds, up to 60000'],
  ['/api/status/503', 'answers with that status, 200 to 599'],
  ['/api/vary', 'a greeting in the language of Accept-Language, with Vary'],
  ['/api/stream', 'server-sent events, ten of them, one every 500 ms; ?n= and ?ms= change that'],
  ['/api/cache?max-age=5,stale-while-revalidate=30', 'answers with these very Cache-Control directives'],
]

const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')

const items = links
  .map(([href, about]) => {
    const shown = escapeHtml(href)
    return `<li><a href="${shown}">${shown}</a> <span>${escapeHtml(about)}</span></li>`
  })
  .join('\n')

/** The start page: every route as a link with a line, and a field to try the WebSocket with. */
export const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>revproxy demo backend</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.6 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1.25rem }
h1 { font-size: 1.5rem; margin-bottom: 0 }
h2 { font-size: 1.1rem; margin-top: 2rem }
ul { list-style: none; padding: 0 }
li { padding: .6rem 0; border-bottom: 1px solid #8884 }
a, code, input, button, output { font-family: ui-monospace, monospace; font-size: .95rem }
li span { display: block }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center }
input { flex: 1 1 12rem; min-width: 0 }
input, button { padding: .4rem .7rem }
output { display: block; margin-top: .75rem; white-space: pre-wrap; overflow-wrap: anywhere }
</style>
</head>
<body>
<main>
<h1>The demo backend</h1>
<p>Something to proxy. Ask for these twice and watch what the proxy says.</p>
<ul>
${items}
<li><a href="#websocket">/ws</a> <span>a WebSocket that sends back whatever it is sent</span></li>
</ul>
<h2 id="websocket">Try the WebSocket</h2>
<form>
<label for="message">Message</label>
<input id="message" value="hello" autocomplete="off">
<button>Send</button>
</form>
<output for="message">not connected yet</output>
</main>
<script>
const output = document.querySelector('output')
let socket
const say = (text) => { output.textContent = text }
const connect = () => new Promise((resolve, reject) => {
  if (socket && socket.readyState === WebSocket.OPEN) return resolve()
  socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/ws')
  socket.onopen = () => resolve()
  socket.onerror = () => reject(new Error('the WebSocket could not be opened'))
  socket.onmessage = (event) => say('echo: ' + event.data)
  socket.onclose = (event) => say('closed, code ' + event.code)
})
document.querySelector('form').addEventListener('submit', async (event) => {
  event.preventDefault()
  try {
    await connect()
    socket.send(document.querySelector('input').value)
  } catch (error) {
    say(error.message)
  }
})
</script>
</body>
</html>
`
