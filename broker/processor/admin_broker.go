package processor

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// runtimeInfo answers 28 with the keys that mqadmin, dashboard and exporter read. Rates
// are over the whole life of the process.
func (p *Processor) runtimeInfo(x call) (*remoting.Command, error) {
	m, s := p.Metrics, p.Store
	elapsed := max(p.Now().Sub(p.started), time.Second)
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	rate := func(n int64) string {
		r := strconv.FormatFloat(float64(n)/elapsed.Seconds(), 'f', 3, 64)
		return r + " " + r + " " + r
	}
	puts, gets := m.Puts.Load(), m.Gets.Load()
	average := "0.0"
	if puts > 0 {
		average = strconv.FormatFloat(float64(m.PutBytes.Load())/float64(puts), 'f', 1, 64)
	}
	table := map[string]string{
		"brokerVersionDesc":               p.cfg.Version,
		"brokerActive":                    "true",
		"bootTimestamp":                   number(p.started.UnixMilli()),
		"runtime":                         formatRuntime(elapsed),
		"msgPutTotalYesterdayMorning":     "0",
		"msgPutTotalTodayMorning":         "0",
		"msgPutTotalTodayNow":             number(puts),
		"msgGetTotalYesterdayMorning":     "0",
		"msgGetTotalTodayMorning":         "0",
		"msgGetTotalTodayNow":             number(gets),
		"putTps":                          rate(puts),
		"getTotalTps":                     rate(gets + m.GetsMissed.Load()),
		"getFoundTps":                     rate(gets),
		"getMissTps":                      rate(m.GetsMissed.Load()),
		"getTransferredTps":               rate(gets),
		"putMessageTimesTotal":            number(puts),
		"putMessageSizeTotal":             number(m.PutBytes.Load()),
		"putMessageAverageSize":           average,
		"putMessageFailedTimes":           number(m.PutErrors.Load()),
		"commitLogMinOffset":              number(s.MinPhysical()),
		"commitLogMaxOffset":              number(s.MaxPhysical()),
		"dispatchBehindBytes":             number(s.MaxPhysical() - s.DispatchedPhysical()),
		"remainHowManyDataToFlush":        formatBytes(s.MaxPhysical() - s.FlushedPhysical()),
		"earliestMessageTimeStamp":        number(s.EarliestTime()),
		"pageCacheLockTimeMills":          "0",
		"sendThreadPoolQueueSize":         "0",
		"pullThreadPoolQueueSize":         "0",
		"queryThreadPoolQueueSize":        "0",
		"pullsParked":                     strconv.Itoa(p.Holds.Len()),
		"pullsAboveEnd":                   number(m.AboveEnd.Load()),
		"pullsBelowMin":                   number(m.BelowMin.Load()),
		"startAcceptSendRequestTimeStamp": "0",
	}
	if usage, err := s.DiskUsage(); err == nil {
		ratio := strconv.FormatFloat(usage.Ratio(), 'f', 4, 64)
		table["commitLogDiskRatio"], table["consumeQueueDiskRatio"] = ratio, ratio
		table["commitLogDirCapacity"] = fmt.Sprintf("Total : %s, Free : %s.", formatBytes(usage.Total), formatBytes(usage.Free))
	}
	if n := p.cfg.WaitingByLevel + p.cfg.WaitingByTimer; n > 0 {
		table["undeliverableDelayedMessages"] = number(n)
	}
	if err := s.Err(); err != nil {
		table["brokerActive"], table["storeError"] = "false", err.Error()
	}
	return answerBody(&protocol.KVTable{Table: table})
}

func formatRuntime(d time.Duration) string {
	s := int64(d / time.Second)
	return fmt.Sprintf("[ %d days, %d hours, %d minutes, %d seconds ]", s/86400, s/3600%24, s/60%60, s%60)
}

func formatBytes(n int64) string {
	const kib = 1024
	if n < kib {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n)/kib, 0
	for ; v >= kib && unit < 4; unit++ {
		v /= kib
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + string("KMGTP"[unit]) + "iB"
}

// brokerConfig answers 26.
func (p *Processor) brokerConfig(x call) (*remoting.Command, error) {
	version, err := json.Marshal(p.Topics.Version())
	if err != nil {
		return nil, err
	}
	ans := answerOK()
	(&protocol.GetBrokerConfigResponseHeader{Version: string(version)}).Encode(ans)
	ans.Body = protocol.EncodeProperties(p.cfg.Properties)
	return ans, nil
}
