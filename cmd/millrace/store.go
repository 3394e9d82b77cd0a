package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/broker/store/inspect"
	"github.com/millrace/millrace/message"
)

func newStore() *cobra.Command {
	c := &cobra.Command{
		Use: "store", Short: "Look into a store's directory", Args: noArgs,
		Long: `Looks into the store directory of a broker that is not running, Millrace's or Apache RocketMQ's,
without changing anything.`,
		Example: "  millrace store verify ./data/store\n  millrace store dump ./data/store --topic orders--checkpoint",
	}
	c.PersistentFlags().String("commitlog", "", "directory of the commit log, when storePathCommitLog says another "+
		"(default: DIRECTORY/commitlog)")
	c.AddCommand(newStoreDump(), newStoreVerify())
	return c
}

func logDir(c *cobra.Command) string {
	dir, _ := c.Flags().GetString("commitlog")
	return dir
}

func newStoreDump() *cobra.Command {
	c := &cobra.Command{
		Use: "dump DIRECTORY", Short: "Print the records of the commit log", Args: exactArgs("DIRECTORY"),
		Example: "  millrace store dump ./data/store --topic orders--shop--orders --limit 20",
	}
	topic := c.Flags().String("topic", "", "this topic only")
	from := c.Flags().Int64("from", 0, "offset in the commit log to begin at; it must be a record's")
	limit := c.Flags().Int("limit", 100, "records to print; 0 = all")
	asJSON := c.Flags().Bool("json", false, "print a JSON object a line")
	c.RunE = func(c *cobra.Command, args []string) error {
		printed := 0
		err := inspect.Store{Dir: args[0], Log: logDir(c)}.Walk(*from, func(r *message.Record, phys int64, size int) error {
			if *topic != "" && r.Topic != *topic {
				return nil
			}
			if *limit > 0 && printed == *limit {
				return inspect.ErrStop
			}
			printed++
			if *asJSON {
				return printLine(c, r, phys, size)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%d %s/%d@%d %d bytes, body %d, %s %s\n", phys, r.Topic, r.QueueID, r.QueueOffset, size,
				len(r.Body), time.UnixMilli(r.StoreTimestamp).UTC().Format("2006-01-02T15:04:05.000Z"), readable(r.Properties))
			return err
		})
		if err != nil {
			return environmentError{err}
		}
		return nil
	}
	return c
}

func printLine(c *cobra.Command, r *message.Record, phys int64, size int) error {
	properties, err := message.ParseProperties(r.Properties)
	if err != nil {
		return fmt.Errorf("properties of the record at %d: %w", phys, err)
	}
	return printJSON(c.OutOrStdout(), map[string]any{
		"offset": phys, "size": size, "topic": r.Topic, "queueId": r.QueueID, "queueOffset": r.QueueOffset,
		"storeTimestamp": r.StoreTimestamp, "sysFlag": r.SysFlag, "bodyLength": len(r.Body), "properties": properties,
	})
}

// readable shows raw properties with their separators as people write them.
func readable(properties []byte) string {
	return strings.TrimSpace(strings.NewReplacer("\x01", "=", "\x02", " ").Replace(string(properties)))
}

func newStoreVerify() *cobra.Command {
	c := &cobra.Command{
		Use: "verify DIRECTORY", Short: "Check that log and consume queues agree", Args: exactArgs("DIRECTORY"),
		Long: `Reads the whole commit log and every consume queue: checksums, offsets that are dense in each
queue, and units that point at their record. Exit status 1 when something is wrong.`,
		Example: "  millrace store verify ./data/store --json",
	}
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		report, err := inspect.Store{Dir: args[0], Log: logDir(c)}.Verify()
		if err != nil {
			return environmentError{err}
		}
		if *asJSON {
			err = printJSON(c.OutOrStdout(), report)
		} else {
			fmt.Fprintf(c.OutOrStdout(), "%d records, %d bytes, offsets %d to %d; %d queues with %d units; %d records not in a queue yet\n",
				report.Records, report.Bytes, report.MinPhys, report.MaxPhys, report.Queues, report.Units, report.Behind)
			for _, p := range report.Problems {
				fmt.Fprintln(c.OutOrStdout(), "  "+p)
			}
		}
		if len(report.Problems) > 0 {
			err = errors.Join(err, silentError{})
		}
		return err
	}
	return c
}
