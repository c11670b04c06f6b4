/** docs/kafka-producers.md as something that runs: its programs as files, its commands in a folder where they find them. */
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { repositoryFile } from '../../kernel/index.js'
import { type ForeignClients, GuardedFolder } from '../services/index.js'

const commandMsMax = 180_000

export interface Where {
  readonly brokers: string
  readonly registry: string
  readonly prefix: string
}

export class Guide {
  readonly folder: GuardedFolder
  readonly commands: readonly string[]

  private constructor(folder: GuardedFolder, commands: readonly string[]) {
    this.folder = folder
    this.commands = commands
  }

  static async open(clients: ForeignClients): Promise<Guide> {
    const text = readFileSync(repositoryFile('docs/kafka-producers.md'), 'utf8')
    const folder = await GuardedFolder.create('weir-foreign-')
    for (const [, name, program] of text.matchAll(/<!-- file: (\S+) -->\n```\w+\n([\s\S]*?)^```$/gm)) {
      writeFileSync(join(folder.path, name!), program!)
    }
    writeFileSync(
      join(folder.path, 'transaction.avsc'),
      readFileSync(repositoryFile('schemas/avro/transaction.avsc'), 'utf8'),
    )
    mkdirSync(join(folder.path, 'lib'))
    for (const jar of clients.jars) symlinkSync(jar, join(folder.path, 'lib', basename(jar)))
    mkdirSync(join(folder.path, 'bin'))
    const tool = (name: string): string =>
      `"${clients.java}" -Xmx128m -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "${folder.path}/lib/*" org.apache.kafka.tools.${name}`
    const programs = {
      kcat: clients.kcat,
      python: clients.python,
      java: `"${clients.java}" -Xmx256m -Dorg.slf4j.simpleLogger.defaultLogLevel=error`,
      'kafka-console-producer.sh': tool('ConsoleProducer'),
      'kafka-console-consumer.sh': tool('consumer.ConsoleConsumer'),
      weir: `"${process.execPath}" "${repositoryFile('scripts/weir.mjs')}"`,
    }
    for (const [name, program] of Object.entries(programs)) {
      const path = join(folder.path, 'bin', name)
      writeFileSync(path, `#!/bin/sh\nexec ${program} "$@"\n`)
      chmodSync(path, 0o755)
    }
    const commands = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block]) => block!.trim().split('\n'))
    return new Guide(folder, commands)
  }

  /** The one command of the page that begins so. */
  command(start: string): string {
    const [command, ...more] = this.commands.filter(each => each.startsWith(start))
    if (command === undefined || more.length > 0) throw new Error(`not one command begins with ${start}`)
    return command
  }

  write(name: string, lines: readonly string[]): void {
    writeFileSync(join(this.folder.path, name), lines.map(line => `${line}\n`).join(''))
  }

  /** Runs a command of the page, or what a test has made of it, where `where` says. @returns stdout @throws Error */
  async run(command: string, where: Where): Promise<string> {
    const here = command
      .replaceAll('localhost:9092', where.brokers)
      .replaceAll('http://localhost:8081', where.registry)
      .replaceAll(/(?<=(?:-t|--topic|http:\S+) )(?=[a-z])/g, where.prefix)
    const script = `PATH="$PWD/bin:$PATH" WEIR_TOPIC_PREFIX='${where.prefix}'; export PATH WEIR_TOPIC_PREFIX; ${here}`
    const { code, stdout, stderr } = await this.folder.run('/bin/sh', ['-c', script], {
      stdin: '',
      msMax: commandMsMax,
    })
    if (code !== 0) throw new Error(`${here} ended with ${code}: ${stderr}`)
    return stdout
  }
}
