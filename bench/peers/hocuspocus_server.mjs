// Hocuspocus without extensions: documents stay in memory. `node hocuspocus_server.mjs PORT`, run
// from the folder that has @hocuspocus/server in its node_modules.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const installed = createRequire(`${process.cwd()}/`)
const { Server } = await import(pathToFileURL(installed.resolve('@hocuspocus/server')))
await new Server({ port: Number(process.argv[2]), address: '127.0.0.1', quiet: true }).listen()
