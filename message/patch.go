package message

import "encoding/binary"

// StoreTimestampAt is where the store timestamp of a record with these flags
// stands.
func StoreTimestampAt(sysFlag int32) int {
	if sysFlag&SysBornHostV6 != 0 {
		return BornHostAt + hostLenV6
	}
	return BornHostAt + hostLenV4
}

// PatchStored writes into an encoded record what only the log knows at the
// moment of the append: where it stands, and when.
func PatchStored(rec []byte, queueOffset, physicalOffset, storeTimestamp int64) {
	be := binary.BigEndian
	be.PutUint64(rec[QueueOffsetAt:], uint64(queueOffset))
	be.PutUint64(rec[PhysicalOffsetAt:], uint64(physicalOffset))
	at := StoreTimestampAt(int32(be.Uint32(rec[SysFlagAt:])))
	be.PutUint64(rec[at:], uint64(storeTimestamp))
}
