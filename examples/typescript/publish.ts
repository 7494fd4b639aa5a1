// Build a Rust project for two platforms from TypeScript, add a file to one of them, publish both as one image.
//
// `dagger client install typescript ./dagger` in this directory generates ./dagger from dagger.json.
import { connection, dag } from "./dagger/client.gen.js"

const address = process.argv[2]
if (!address) {
  console.error("usage: publish.ts ghcr.io/me/app:1.2.3")
  process.exit(2)
}

await connection(
  async () => {
    const image = dag
      .rustMultiarch({
        source: dag.host().directory("."),
        platforms: ["linux/amd64", "linux/arm64"],
        ports: [8080],
      })
      .build()
    const arm = image
      .variant("linux/arm64")
      .container()
      .withNewFile("/etc/motd", "hello from arm64\n")
    console.log(await image.withVariant("linux/arm64", arm).publish(address, { tags: ["latest"] }))
  },
  { LogOutput: process.stderr },
)
