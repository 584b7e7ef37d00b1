// openapi-typescript makes types from the description, and the compiler checks a use of them:
// URL TOKEN FOLDER-OF-NPM DESCRIPTION FOLDER.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const [url, token, npm, description, folder] = process.argv.slice(2);
const tool = (name) => join(npm, "node_modules", ".bin", name);
execFileSync(tool("openapi-typescript"), [description, "-o", join(folder, "api.ts")], { stdio: "pipe" });
writeFileSync(
  join(folder, "use.ts"),
  `import type { paths } from "./api";
type Page = paths["/core/authenticated_sessions/"]["get"]["responses"][200]["content"]["application/json"];
export const count = (page: Page): number => page.pagination.count + page.results.length;
export const city = (page: Page): string | undefined => page.results[0]?.geo_ip?.city;
// @ts-expect-error A field that is not there must be refused, or the types say nothing.
export const wrong = (page: Page): string => page.results[0].no_such_field;
`,
);
try {
  execFileSync(tool("tsc"), ["--strict", "--noEmit", "--skipLibCheck", join(folder, "use.ts")], { stdio: "pipe" });
} catch (problem) {
  console.error(String(problem.stdout));
  process.exit(1);
}
const answer = await fetch(`${url}/api/v3/core/authenticated_sessions/`, { headers: { Authorization: `Bearer ${token}` } });
if (!answer.ok || (await answer.json()).pagination.count < 1) process.exit(1);
