export { MemoryDisk, type MemoryDiskOptions } from './disk.js'
export { type CommitFault, type CommitPoint, type Faults, noFaults, type PollFault, type PollPoint } from './faults.js'
export { MemoryLog, type MemoryLogOptions } from './memory.js'
