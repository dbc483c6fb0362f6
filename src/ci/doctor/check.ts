/** What one look at this machine found. */
export interface Finding {
  readonly about: 'node' | 'target' | 'tls' | 'redis' | 'trace' | 'clock' | 'ports' | 'environment'
  readonly state: 'fine' | 'notice' | 'wrong'
  /** What was found, a sentence. */
  readonly text: string
  /** What to do about it. */
  readonly advice?: string
}

type About = Finding['about']

/** All is as it should be. */
export const fine = (about: About, text: string): Finding => ({ about, state: 'fine', text })
/** It works, and may surprise. */
export const notice = (about: About, text: string, advice: string): Finding => ({
  about,
  state: 'notice',
  text,
  advice,
})
/** It does not work. */
export const wrong = (about: About, text: string, advice: string): Finding => ({
  about,
  state: 'wrong',
  text,
  advice,
})
