const greetings: Readonly<Record<string, string>> = {
  en: 'Hello!',
  de: 'Guten Tag!',
  fr: 'Bonjour !',
  pl: 'Dzień dobry!',
  es: '¡Hola!',
  it: 'Buongiorno!',
  nl: 'Goedendag!',
  pt: 'Olá!',
  sv: 'Hej!',
  ja: 'こんにちは！',
}

/**
 * A greeting in the language that an `Accept-Language` value likes best (RFC 9110 §12.5.4, looked up by the primary
 * subtag, RFC 4647 §3.4). English when there is no field or nothing in it is spoken here; a malformed part is skipped.
 */
export const greet = (acceptLanguage: string | undefined): { language: string; text: string } => {
  const weights = new Map<string, number>()
  for (const part of (acceptLanguage ?? '').split(',')) {
    const match = /^\s*([a-z]{1,8}|\*)(?:-[a-z0-9]{1,8})*\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?$/i.exec(part)
    if (match === null) continue
    const language = match[1]!.toLowerCase()
    weights.set(language, Math.max(weights.get(language) ?? 0, Number(match[2] ?? 1)))
  }
  let language = 'en'
  let best = 0
  // In the order the client wrote them: of equals, the first wins.
  for (const [asked, weight] of weights) {
    if (weight <= best) continue
    const spoken = asked === '*' ? Object.keys(greetings).find((known) => !weights.has(known)) : asked
    if (spoken === undefined || !Object.hasOwn(greetings, spoken)) continue
    language = spoken
    best = weight
  }
  return { language, text: greetings[language]! }
}
