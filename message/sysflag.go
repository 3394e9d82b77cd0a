package message

// Bits of a record's sysFlag.
const (
	SysCompressed  int32 = 0x1
	SysMultiTags   int32 = 0x2
	SysNeedUnwrap  int32 = 0x40
	SysInnerBatch  int32 = 0x80
	SysBornHostV6  int32 = 0x10
	SysStoreHostV6 int32 = 0x20

	sysHosts = SysBornHostV6 | SysStoreHostV6
)

// Transaction states: the two bits 0x4 and 0x8 read together.
const (
	TransactionNone     int32 = 0
	TransactionPrepared int32 = 0x4
	TransactionCommit   int32 = 0x8
	TransactionRollback int32 = 0xC

	transactionMask int32 = 0xC
)

// TransactionState returns the transaction bits of sysFlag.
func TransactionState(sysFlag int32) int32 { return sysFlag & transactionMask }

// WithTransactionState returns sysFlag with its transaction bits replaced.
func WithTransactionState(sysFlag, state int32) int32 {
	return sysFlag&^transactionMask | state&transactionMask
}

// Compression is how a body is compressed, as bits 8–10 of a sysFlag say.
type Compression int32

const (
	// CompressionLegacy is what clients before 4.9.4 write: zlib.
	CompressionLegacy Compression = 0
	CompressionLZ4    Compression = 1
	CompressionZSTD   Compression = 2
	CompressionZLIB   Compression = 3

	compressionShift = 8
	compressionMask  = int32(0x7) << compressionShift
)

// CompressionOf returns the compression bits. They mean something only when
// SysCompressed is set.
func CompressionOf(sysFlag int32) Compression {
	return Compression(sysFlag & compressionMask >> compressionShift)
}

// WithCompression returns sysFlag saying that the body is compressed with c.
func WithCompression(sysFlag int32, c Compression) int32 {
	return sysFlag&^compressionMask | SysCompressed | int32(c)<<compressionShift&compressionMask
}
