/** What the log says, in its own format, where lines are missing from it. Ends with a line end. */
export const lostLines =
  (format: 'pretty' | 'plain' | 'json' | 'logfmt' | 'off') =>
  (lines: number): string => {
    const time = new Date().toISOString()
    if (format === 'json')
      return `{"time":"${time}","level":"warn","event":"lines-dropped","lines":${lines}}\n`
    if (format === 'logfmt') return `time=${time} level=warn event=lines-dropped lines=${lines}\n`
    return `… ${lines} log ${lines === 1 ? 'line' : 'lines'} dropped\n`
  }
