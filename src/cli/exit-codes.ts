/** How a run ended, for scripts (DESIGN §3). */
export const exitCodes = {
  fine: 0,
  usage: 2,
  cannotStart: 3,
  internal: 8,
  interrupted: 130,
  terminated: 143,
} as const
