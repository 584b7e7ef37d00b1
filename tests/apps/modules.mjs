// Packages are loaded from MODULES, the folder that tests/apps/install fills.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(join(process.env.MODULES, 'package.json'));

export const load = (name) => import(pathToFileURL(require.resolve(name)));

export const { PORT, ISSUER, CLIENT_ID, CLIENT_SECRET } = process.env;

export const BASE = `http://127.0.0.1:${PORT}`;

export function listening(server) {
  server.on('error', (error) => {
    console.error(error);
    process.exit(1);
  });
  server.on('listening', () => console.log(`listening on ${BASE}`));
}
