/** Which of a Redis Cluster's 16,384 slots a key belongs to (Redis Cluster specification, "Key distribution model"). */

export const SLOTS = 16_384

/** CRC-16/XMODEM: polynomial 0x1021, from 0. */
const table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
  return crc
})

/** Only what stands between the first `{` and the next `}` counts, unless that is nothing. */
export const clusterSlot = (key: string): number => {
  const bytes = Buffer.from(key)
  const open = bytes.indexOf(0x7b)
  const close = open === -1 ? -1 : bytes.indexOf(0x7d, open + 1)
  const tag = close > open + 1 ? bytes.subarray(open + 1, close) : bytes
  let crc = 0
  for (const byte of tag) crc = ((crc << 8) & 0xffff) ^ table[(crc >> 8) ^ byte]!
  return crc % SLOTS
}
