/** How a machine is told to trust a CA. */
import { existsSync } from 'node:fs'

/** A file's name as a shell takes it for one word. */
export const quoted = (file: string, platform: NodeJS.Platform = process.platform): string => {
  if (/^[\w@%+=:,./\\-]+$/.test(file)) return file
  return platform === 'win32' ? `"${file}"` : `'${file.replaceAll("'", `'\\''`)}'`
}

/** The command that has this machine trust the CA, as it can be pasted into a shell. */
export const trustCommand = (
  file: string,
  platform: NodeJS.Platform = process.platform,
  has: (path: string) => boolean = existsSync,
): string => {
  const name = quoted(file, platform)
  if (platform === 'win32') return `certutil -addstore -user Root ${name}`
  if (platform === 'darwin')
    return `sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ${name}`
  // Debian and its kin have no p11-kit command that writes.
  return has('/usr/sbin/update-ca-certificates')
    ? `sudo cp ${name} /usr/local/share/ca-certificates/revproxy.crt && sudo update-ca-certificates`
    : `sudo trust anchor --store ${name}`
}
