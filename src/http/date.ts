/** Dates of HTTP (RFC 9110 §5.6.7): exactly the three formats, read without regard to case, and nothing else. */

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const IMF = /^(?:mon|tue|wed|thu|fri|sat|sun), (\d{2}) ([a-z]{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) gmt$/
const RFC850 =
  /^(?:mon|tues|wednes|thurs|fri|satur|sun)day, (\d{2})-([a-z]{3})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) gmt$/
const ASCTIME = /^(?:mon|tue|wed|thu|fri|sat|sun) ([a-z]{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/

/** Milliseconds since the epoch, or undefined when it is none of the formats or no such time exists. */
export const parseDate = (text: string, now: number): number | undefined => {
  const given = text.trim().toLowerCase()
  const imf = IMF.exec(given)
  if (imf !== null) return at(Number(imf[3]), imf[2]!, imf[1]!, imf[4]!, imf[5]!, imf[6]!)
  const rfc850 = RFC850.exec(given)
  if (rfc850 !== null) {
    return at(fullYear(Number(rfc850[3]), now), rfc850[2]!, rfc850[1]!, rfc850[4]!, rfc850[5]!, rfc850[6]!)
  }
  const asctime = ASCTIME.exec(given)
  if (asctime !== null) {
    return at(Number(asctime[6]), asctime[1]!, asctime[2]!, asctime[3]!, asctime[4]!, asctime[5]!)
  }
  return undefined
}

/** A two-digit year more than 50 years ahead is the last such year in the past (RFC 9110 §5.6.7). */
const fullYear = (twoDigits: number, now: number): number => {
  const thisYear = new Date(now).getUTCFullYear()
  const year = Math.floor(thisYear / 100) * 100 + twoDigits
  return year > thisYear + 50 ? year - 100 : year
}

const at = (
  year: number,
  monthName: string,
  dayText: string,
  hourText: string,
  minuteText: string,
  secondText: string,
): number | undefined => {
  const month = MONTHS.indexOf(monthName)
  const day = Number(dayText)
  const [hour, minute, second] = [Number(hourText), Number(minuteText), Number(secondText)]
  if (month === -1 || day < 1 || hour > 23 || minute > 59 || second > 60) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month, day)
  if (date.getUTCMonth() !== month) return undefined
  date.setUTCHours(hour, minute, second)
  return date.getTime()
}

/** The preferred format of a time in ms since the epoch. */
export const formatDate = (ms: number): string => new Date(ms).toUTCString()
