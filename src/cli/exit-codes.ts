/** How a run ended, for scripts (DESIGN §3). */
export const exitCodes = {
  fine: 0,
  usage: 2,
  cannotStart: 3,
  notReady: 4,
  expectation: 5,
  internal: 8,
  hungUp: 129,
  interrupted: 130,
  terminated: 143,
} as const
