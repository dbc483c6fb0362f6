/** The run cannot begin; the message is for the user. */
export class Refused extends Error {
  readonly kind: 'usage' | 'cannot-start'

  constructor(kind: Refused['kind'], message: string) {
    super(message)
    this.kind = kind
  }
}
