/** `revproxy doctor`: the options of a run, and what stands in its way on this machine. */

import { doctorCode, examine, findingsText } from '../ci/doctor/doctor.ts'
import { shownJson } from '../observe/escape.ts'
import { colorLevel } from './color.ts'
import { type Given, settle } from './settings.ts'

/** Examines and prints. Gives the exit code; throws UsageError for options that cannot be understood. */
export const doctor = async (given: Given, env: NodeJS.ProcessEnv): Promise<number> => {
  const withTarget = given.target !== undefined
  const { options } = settle(
    withTarget ? given : { ...given, target: { name: undefined, texts: ['http://localhost'] } },
    env,
  )
  const findings = await examine(options, { env, withTarget })
  process.stdout.write(
    options.json
      ? `${shownJson({ findings })}\n`
      : findingsText(
          findings,
          colorLevel({ option: options.color, env, isTTY: process.stdout.isTTY === true }),
        ),
  )
  return doctorCode(findings)
}
