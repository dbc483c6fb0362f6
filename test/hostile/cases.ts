/** All hostile cases, by theme. */
import type { Case } from './case.ts'
import { framing } from './cases/framing.ts'
import { head } from './cases/head.ts'
import { identity } from './cases/identity.ts'
import { slowAndMany } from './cases/slow.ts'
import { upstream } from './cases/upstream.ts'

export const cases: readonly Case[] = [...framing, ...head, ...identity, ...upstream, ...slowAndMany]
