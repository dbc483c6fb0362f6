/** Dates of HTTP (RFC 9110 §5.6.7): exactly the three formats, read without regard to case, and nothing else. */
import { trimOws } from './fields.ts'

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const IMF = /^(?:mon|tue|wed|thu|fri|sat|sun), (\d{2}) ([a-z]{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) gmt$/
const RFC850 =
  /^(?:mon|tues|wednes|thurs|fri|satur|sun)day, (\d{2})-([a-z]{3})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) gmt$/
const ASCTIME = /^(?:mon|tue|wed|thu|fri|sat|sun) ([a-z]{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/

/** Milliseconds since the epoch, or undefined when it is none of the formats or no such time exists. */
export const parseDate = (text: string, now: number): number | undefined => {
  const given = trimOws(text).toLowerCase()
  const imf = IMF.exec(given)
  if (imf !== null) return at(Number(imf[3]), imf[2]!, imf[1]!, imf[4]!, imf[5]!, imf[6]!)
  const rfc850 = RFC850.exec(given)
  if (rfc850 !== null) {
    const [, day, month, twoDigits, hour, minute, second] = rfc850 as unknown as string[]
    const century = Math.floor(new Date(now).getUTCFullYear() / 100) * 100
    const read = (year: number) => at(year, month!, day!, hour!, minute!, second!)
    const year = century + Number(twoDigits)
    // RFC 9110 §5.6.7: what seems to be more than 50 years ahead is the most recent such year in the past.
    return year > fiftyYearsAfter(now).year || (read(year) ?? 0) > fiftyYearsAfter(now).ms
      ? read(year - 100)
      : read(year)
  }
  const asctime = ASCTIME.exec(given)
  if (asctime !== null) {
    return at(Number(asctime[6]), asctime[1]!, asctime[2]!, asctime[3]!, asctime[4]!, asctime[5]!)
  }
  return undefined
}

const fiftyYearsAfter = (now: number): { year: number; ms: number } => {
  const date = new Date(now)
  const year = date.getUTCFullYear() + 50
  return { year, ms: date.setUTCFullYear(year) }
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
