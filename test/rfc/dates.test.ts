/** Which texts are dates (RFC 9110 §5.6.7). */
import { parseDate } from '../../src/http/date.ts'
import { type Row, T0, table } from './table.ts'

const nov94 = Date.UTC(1994, 10, 6, 8, 49, 37)
const rfc = '9110 §5.6.7'

interface DateRow extends Row<number | undefined> {
  readonly text: string
  readonly now?: number
}

const rows: readonly DateRow[] = [
  { rfc, name: 'IMF-fixdate', text: 'Sun, 06 Nov 1994 08:49:37 GMT', want: nov94 },
  { rfc, name: 'rfc850-date', text: 'Sunday, 06-Nov-94 08:49:37 GMT', want: nov94 },
  { rfc, name: 'asctime-date, day padded by a space', text: 'Sun Nov  6 08:49:37 1994', want: nov94 },
  {
    rfc,
    name: 'asctime-date, day of two digits',
    text: 'Wed Nov 16 08:49:37 1994',
    want: nov94 + 10 * 86_400_000,
  },
  { rfc, name: 'letters of any case', text: 'SUN, 06 nov 1994 08:49:37 gmt', want: nov94 },
  { rfc, name: 'rfc850-date in any case', text: 'sUNDAY, 06-NOV-94 08:49:37 Gmt', want: nov94 },
  { rfc, name: 'white space around the value', text: ' \tSun, 06 Nov 1994 08:49:37 GMT ', want: nov94 },
  { rfc, name: 'a leap second', text: 'Sat, 31 Dec 2016 23:59:60 GMT', want: Date.UTC(2017, 0, 1) },
  { rfc, name: 'a leap day', text: 'Thu, 29 Feb 2024 00:00:00 GMT', want: Date.UTC(2024, 1, 29) },
  { rfc, name: 'the first second of the epoch', text: 'Thu, 01 Jan 1970 00:00:00 GMT', want: 0 },
  { rfc, name: 'before the epoch', text: 'Wed, 31 Dec 1969 23:59:59 GMT', want: -1000 },
  {
    rfc,
    name: 'two digits less than 50 years ahead are ahead',
    text: 'Tuesday, 14-Jan-76 12:00:00 GMT',
    want: Date.UTC(2076, 0, 14, 12),
  },
  {
    rfc,
    name: 'two digits exactly 50 years ahead are ahead',
    text: 'Wednesday, 15-Jan-76 12:00:00 GMT',
    want: Date.UTC(2076, 0, 15, 12),
  },
  {
    rfc,
    name: 'two digits a second more than 50 years ahead are in the past',
    text: 'Thursday, 15-Jan-76 12:00:01 GMT',
    want: Date.UTC(1976, 0, 15, 12, 0, 1),
  },
  {
    rfc,
    name: 'two digits 51 years ahead are in the past',
    text: 'Saturday, 15-Jan-77 12:00:00 GMT',
    want: Date.UTC(1977, 0, 15, 12),
  },
  { rfc, name: 'one digit for the day', text: 'Sun, 6 Nov 1994 08:49:37 GMT', want: undefined },
  { rfc, name: 'one digit for the hour', text: 'Sun, 06 Nov 1994 8:49:37 GMT', want: undefined },
  { rfc, name: 'no comma', text: 'Sun 06 Nov 1994 08:49:37 GMT', want: undefined },
  { rfc, name: 'no day of the week', text: '06 Nov 1994 08:49:37 GMT', want: undefined },
  { rfc, name: 'another zone by name', text: 'Sun, 06 Nov 1994 08:49:37 UTC', want: undefined },
  { rfc, name: 'another zone by number', text: 'Sun, 06 Nov 1994 08:49:37 +0000', want: undefined },
  { rfc, name: 'no zone', text: 'Sun, 06 Nov 1994 08:49:37', want: undefined },
  { rfc, name: 'dashes in an IMF-fixdate', text: 'Sun, 06-Nov-1994 08:49:37 GMT', want: undefined },
  { rfc, name: 'spaces in an rfc850-date', text: 'Sunday, 06 Nov 94 08:49:37 GMT', want: undefined },
  { rfc, name: 'two spaces', text: 'Sun, 06  Nov 1994 08:49:37 GMT', want: undefined },
  { rfc, name: 'no seconds', text: 'Sun, 06 Nov 1994 08:49 GMT', want: undefined },
  { rfc, name: 'more behind it', text: 'Sun, 06 Nov 1994 08:49:37 GMT; x', want: undefined },
  { rfc, name: 'an asctime-date with a zone', text: 'Sun Nov  6 08:49:37 1994 GMT', want: undefined },
  {
    rfc,
    name: 'an asctime-date with one space before a short day',
    text: 'Sun Nov 6 08:49:37 1994',
    want: undefined,
  },
  { rfc, name: 'a day that the month does not have', text: 'Thu, 30 Feb 2023 00:00:00 GMT', want: undefined },
  { rfc, name: 'a leap day in another year', text: 'Wed, 29 Feb 2023 00:00:00 GMT', want: undefined },
  { rfc, name: 'the day zero', text: 'Sun, 00 Nov 1994 08:49:37 GMT', want: undefined },
  { rfc, name: 'a month of no calendar', text: 'Sun, 06 Abc 1994 08:49:37 GMT', want: undefined },
  { rfc, name: 'the hour 24', text: 'Sun, 06 Nov 1994 24:00:00 GMT', want: undefined },
  { rfc, name: 'the minute 60', text: 'Sun, 06 Nov 1994 08:60:00 GMT', want: undefined },
  { rfc, name: 'the second 61', text: 'Sun, 06 Nov 1994 08:49:61 GMT', want: undefined },
  { rfc, name: 'an ISO date', text: '1994-11-06T08:49:37Z', want: undefined },
  { rfc: '9111 §5.3', name: 'the 0 of many an Expires', text: '0', want: undefined },
  { rfc: '9111 §5.3', name: 'nothing', text: '', want: undefined },
  {
    rfc,
    name: 'a non-breaking space in front',
    text: '\u00a0Sun, 06 Nov 1994 08:49:37 GMT',
    want: undefined,
  },
]

table('a date', rows, ({ text, now = T0 }) => parseDate(text, now))
