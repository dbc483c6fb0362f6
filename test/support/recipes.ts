/** Recipes of the README: printed from here, and run by a test as they are printed. */

/** One recipe. */
export interface Recipe {
  readonly title: string
  /** What stands above it. */
  readonly note: string
  readonly language: 'json' | 'sh' | 'yaml' | 'make'
  readonly text: string
}

const npmScript = `{
  "scripts": {
    "dev": "node server.js",
    "test": "node --test smoke.test.js",
    "smoke": "revproxy :3000 --start 'npm run dev' --url-env BASE_URL --expect '5xx==0' --expect 'errors==0' -- npm test"
  }
}`

const shellScript = `npx revproxy :3000 --start 'npm run dev' \\
  --expect 'requests>=2' --expect '5xx==0' --expect 'hit-ratio{route=/api/*}>=50%' \\
  -- sh -c '
    curl -fsS "$REVPROXY_URL/api/users" > /dev/null &&
    curl -fsS "$REVPROXY_URL/api/users" > /dev/null'`

const github = `jobs:
  smoke:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-node@v4
        with: { node-version: 22 }
      - run: npm ci
      - run: >-
          npx revproxy :3000 --start 'npm run dev' --url-env BASE_URL
          --expect '5xx==0' --expect 'errors==0' --junit reports/revproxy.xml
          -- npm test
      - uses: actions/upload-artifact@v4
        if: always()
        with: { name: reports, path: reports }`

const gitlab = `smoke:
  image: node:22
  script:
    - npm ci
    - npx revproxy :3000 --start 'npm run dev' --url-env BASE_URL --expect '5xx==0' --junit revproxy.xml -- npm test
  artifacts:
    when: always
    reports:
      junit: revproxy.xml`

const makefile = `smoke:
\tnpx revproxy :3000 --start 'npm run dev' --expect '5xx==0' -- \\
\t  sh -c 'curl -fsS "$$REVPROXY_URL/api/users" | grep -q Ada'`

const baseline = `npx revproxy :3000 --start 'npm run dev' --url-env BASE_URL \\
  --baseline baseline.json --save-baseline baseline.json \\
  --expect 'upstream-requests<=baseline' --expect 'hit-ratio>=baseline' -- npm test`

/** All of them, in the order in which they stand in the README. */
export const recipes = {
  npm: {
    title: 'An npm script',
    note: '`npm run smoke` starts the backend, waits for it, runs the tests behind the proxy and ends the backend.',
    language: 'json',
    text: npmScript,
  },
  shell: {
    title: 'A shell script with curl',
    note: 'Ends with 0, with 5 when an expectation failed, or with the code of what stands after `--`.',
    language: 'sh',
    text: shellScript,
  },
  github: {
    title: 'GitHub Actions',
    note: 'The step summary and the annotations come by themselves.',
    language: 'yaml',
    text: github,
  },
  gitlab: {
    title: 'GitLab CI',
    note: 'The expectations stand among the tests of the merge request.',
    language: 'yaml',
    text: gitlab,
  },
  make: { title: 'A Makefile', note: '`make smoke`.', language: 'make', text: makefile },
  baseline: {
    title: 'Not worse than last time',
    note: 'The first run writes the file; from then on each run is held against the last that was fine. For durations, leave the machine some room: `p95<=baseline*1.5+20ms`.',
    language: 'sh',
    text: baseline,
  },
} as const satisfies Record<string, Recipe>

/** As Markdown. */
export const recipesText = (): string =>
  Object.values(recipes)
    .map(({ title, note, language, text }) => `**${title}.** ${note}\n\n\`\`\`${language}\n${text}\n\`\`\``)
    .join('\n\n')
