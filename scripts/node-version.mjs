/**
 * Refuses a Node.js that cannot run Weir, with one line. Import it before anything else: it has no imports of its own, so it
 * runs before whatever would fail on an old version. 20.19 has what we use (zlib.crc32, import.meta.dirname); 21 and 22.0,
 * 22.1 lack the former although their numbers are higher.
 */
const [major, minor] = process.versions.node.split('.').map(Number)
const usable = (major === 20 && minor >= 19) || (major === 22 && minor >= 2) || major >= 23

if (!usable) {
  console.error(
    `NODE_TOO_OLD: this is Node.js ${process.versions.node}; install Node.js 20.19 or newer (of 22: 22.2 or newer; not 21)`,
  )
  process.exit(1)
}
