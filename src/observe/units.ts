/** Milliseconds for people, at most six characters wide below a minute: `0.3ms 11.4ms 245ms 1.20s 12.3s 1m30s`. */
export const formatDuration = (ms: number): string => {
  if (!(ms > 0)) return '0.0ms'
  if (ms < 99.95) {
    const tenths = Math.round(ms * 10)
    return `${(tenths / 10) | 0}.${tenths % 10}ms`
  }
  if (ms < 999.5) return `${Math.round(ms)}ms`
  if (ms < 9995) return `${(ms / 1000).toFixed(2)}s`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)}s`
  return formatSeconds(ms / 1000)
}

/** How long something ran: whole seconds, and milliseconds below one. */
export const formatSpan = (ms: number): string =>
  ms >= 0.5 && ms < 999.5 ? `${Math.round(ms)}ms` : formatSeconds(ms / 1000)

/** Whole seconds in the two largest units, as durations are written on the command line: `59s 1m30s 1h 2d3h`. */
export const formatSeconds = (seconds: number): string => {
  const s = Math.max(0, Math.round(seconds))
  if (s < 60) return `${s}s`
  if (s < 3600) return two(s, 60, 'm', 1, 's')
  if (s < 86_400) return two(s, 3600, 'h', 60, 'm')
  return two(s, 86_400, 'd', 3600, 'h')
}

const two = (s: number, large: number, largeUnit: string, small: number, smallUnit: string): string => {
  const rest = Math.floor((s % large) / small)
  return `${Math.floor(s / large)}${largeUnit}${rest === 0 ? '' : `${rest}${smallUnit}`}`
}

const SIZE_UNITS = ['kB', 'MB', 'GB', 'TB'] as const

/** Bytes for people, 1000-based, at most six characters wide: `4 B 1.2 kB 35 kB 2.0 MB`. */
export const formatSize = (bytes: number): string => {
  if (bytes < 1000) return `${Math.max(0, Math.round(bytes))} B`
  let value = bytes / 1000
  let unit = 0
  while (value >= 999.5 && unit < SIZE_UNITS.length - 1) {
    value /= 1000
    unit++
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${SIZE_UNITS[unit]}`
}
