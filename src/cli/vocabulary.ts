/** The words of the command line, as commander knows them, for the completion of shells. */
import type { Command, Option } from 'commander'
import { type Flag, placeholder, type Word } from '../ci/completion/vocabulary.ts'

/** The program and each of its commands. */
export const vocabulary = (program: Command): Word[] => {
  const words: Word[] = []
  const walk = (command: Command, path: string): void => {
    const help = command.createHelp()
    const commands = command.commands.filter(
      ({ _hidden }: Command & { _hidden?: boolean }) => _hidden !== true,
    )
    words.push({
      path,
      help: command.description(),
      flags: help.visibleOptions(command).map(flagOf),
      values: commands.length > 0 ? commands.map((each) => each.name()) : choicesOf(command),
    })
    for (const each of commands) walk(each, path === '' ? each.name() : `${path} ${each.name()}`)
  }
  walk(program, '')
  return words
}

const choicesOf = (command: Command): readonly string[] => command.registeredArguments[0]?.argChoices ?? []

const flagOf = (option: Option): Flag => {
  const { choices, file } = placeholder(/[<[].*$/.exec(option.flags)?.[0] ?? '')
  return {
    long: option.long ?? option.flags,
    short: option.short,
    help: option.description,
    takes: option.required ? 'a value' : option.optional ? 'perhaps a value' : 'nothing',
    choices,
    file,
    repeatable: option.description.includes('; repeatable'),
  }
}
