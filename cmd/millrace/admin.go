package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/message"
)

const defaultNamesrv = "127.0.0.1:9876"

func newAdmin() *cobra.Command {
	c := &cobra.Command{
		Use: "admin", Short: "Look at and change a cluster", Args: noArgs,
		Long: `Looks at and changes a cluster, Millrace's or Apache RocketMQ's. RocketMQ's own mqadmin works
on a Millrace cluster as well, for the codes that docs/protocol.md lists as served.`,
		Example: "  millrace admin topic list\n  millrace admin topic stats orders--shop--orders --json",
	}
	c.PersistentFlags().String("namesrv", "", "name servers, host:port;host:port (default $NAMESRV_ADDR, else "+defaultNamesrv+")")
	c.PersistentFlags().Bool("json", false, "print JSON")
	cluster := &cobra.Command{
		Use: "cluster", Short: "Show brokers and their roles", Args: noArgs, Example: "  millrace admin cluster",
		RunE: withAdmin(showCluster),
	}
	c.AddCommand(cluster, newAdminTopic(), newAdminGroup())
	return c
}

// withAdmin connects an admin client for one command.
func withAdmin(run func(ctx context.Context, c *cobra.Command, a *admin.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
		defer cancel()
		a, err := admin.New(client.WithNameServers(nameServers(c)))
		if err != nil {
			return usageError{err}
		}
		if err := a.Start(ctx); err != nil {
			return environmentError{err}
		}
		defer a.Close(context.WithoutCancel(ctx))
		return run(ctx, c, a, args)
	}
}

// nameServers is the flag, else RocketMQ's variable, else the local one.
func nameServers(c *cobra.Command) string {
	if given, _ := c.Flags().GetString("namesrv"); given != "" {
		return given
	}
	if given, ok := lookupEnv("NAMESRV_ADDR"); ok && given != "" {
		return given
	}
	return defaultNamesrv
}

func wantsJSON(c *cobra.Command) bool {
	asJSON, _ := c.Flags().GetBool("json")
	return asJSON
}

func showCluster(ctx context.Context, c *cobra.Command, a *admin.Client, _ []string) error {
	info, err := a.ClusterInfo(ctx)
	if err != nil {
		return environmentError{err}
	}
	if wantsJSON(c) {
		return printJSON(c.OutOrStdout(), info)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "CLUSTER\tBROKER\tID\tADDRESS\tVERSION\tPUT TPS\tGET TPS\tNOTE")
	for _, b := range info.Brokers {
		for _, id := range slices.Sorted(maps.Keys(b.Addrs)) {
			addr := b.Addrs[id]
			runtime := map[string]string{}
			if id == 0 {
				if runtime, err = a.BrokerRuntime(ctx, b.Name); err != nil {
					runtime = map[string]string{"brokerVersionDesc": "no answer"}
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", b.Cluster, b.Name, id, addr, runtime["brokerVersionDesc"],
				runtime["putTps"], runtime["getTotalTps"], brokerNote(runtime))
		}
	}
	return w.Flush()
}

// brokerNote is what somebody who looks at a broker ought to know.
func brokerNote(runtime map[string]string) string {
	switch {
	case runtime["storeError"] != "":
		return "takes no messages: " + runtime["storeError"]
	case runtime["undeliverableDelayedMessages"] != "":
		return runtime["undeliverableDelayedMessages"] + " delayed messages of RocketMQ wait in its store and will not be delivered"
	}
	return ""
}

func newAdminTopic() *cobra.Command {
	c := &cobra.Command{Use: "topic", Short: "List, show, make and delete topics", Args: noArgs, Example: "  millrace admin topic list"}
	list := &cobra.Command{
		Use: "list", Short: "List topics", Args: noArgs, Example: "  millrace admin topic list --json",
		RunE: withAdmin(func(ctx context.Context, c *cobra.Command, a *admin.Client, _ []string) error {
			names, err := a.Topics(ctx)
			if err != nil {
				return environmentError{err}
			}
			sort.Strings(names)
			if wantsJSON(c) {
				return printJSON(c.OutOrStdout(), names)
			}
			for _, n := range names {
				fmt.Fprintln(c.OutOrStdout(), n)
			}
			return nil
		}),
	}
	stats := &cobra.Command{
		Use: "stats TOPIC", Short: "Show the offsets of a topic's queues", Args: exactArgs("TOPIC"),
		Example: "  millrace admin topic stats orders--shop--orders",
		RunE: withAdmin(func(ctx context.Context, c *cobra.Command, a *admin.Client, args []string) error {
			queues, err := a.TopicStats(ctx, args[0])
			if err != nil {
				return err
			}
			if wantsJSON(c) {
				return printJSON(c.OutOrStdout(), queues)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "BROKER\tQUEUE\tMIN\tMAX\tMESSAGES")
			for _, q := range queues {
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", q.Queue.BrokerName, q.Queue.QueueID, q.Min, q.Max, q.Max-q.Min)
			}
			return w.Flush()
		}),
	}
	c.AddCommand(list, stats, newTopicCreate(), newTopicDelete())
	return c
}

func newTopicCreate() *cobra.Command {
	c := &cobra.Command{
		Use: "create TOPIC", Short: "Make a topic, or change it", Args: exactArgs("TOPIC"),
		Example: "  millrace admin topic create orders --queues 8 --broker broker-a",
	}
	queues := c.Flags().Int("queues", 8, "read and write queues")
	broker := c.Flags().String("broker", "", "name of the broker (default: all)")
	attributes := c.Flags().StringToString("attribute", nil, "attributes, as message.type=FIFO")
	c.PreRunE = func(_ *cobra.Command, args []string) error {
		if err := message.CheckTopic(args[0]); err != nil {
			return usageError{err}
		}
		if *queues < 1 {
			return usageError{fmt.Errorf("--queues %d: a topic has one at least", *queues)}
		}
		return nil
	}
	c.RunE = withAdmin(func(ctx context.Context, c *cobra.Command, a *admin.Client, args []string) error {
		if err := a.CreateTopic(ctx, admin.TopicConfig{Name: args[0], Queues: *queues, Attributes: *attributes}, *broker); err != nil {
			return err
		}
		if wantsJSON(c) {
			return printJSON(c.OutOrStdout(), map[string]any{"topic": args[0], "queues": *queues})
		}
		fmt.Fprintf(c.OutOrStdout(), "%s has %d queues\n", args[0], *queues)
		return nil
	})
	return c
}

func newTopicDelete() *cobra.Command {
	c := &cobra.Command{
		Use: "delete TOPIC", Short: "Delete a topic and its messages", Args: exactArgs("TOPIC"),
		Example: "  millrace admin topic delete scratch --yes",
	}
	yes := c.Flags().Bool("yes", false, "really: the messages are gone")
	force := c.Flags().Bool("force", false, "even if it belongs to a pipeline, which would go on without what it holds")
	broker := c.Flags().String("broker", "", "name of the broker (default: all)")
	c.RunE = withAdmin(func(ctx context.Context, c *cobra.Command, a *admin.Client, args []string) error {
		if !*yes {
			return usageError{fmt.Errorf("deleting %s deletes its messages; say --yes", args[0])}
		}
		remove := a.DeleteTopic
		if *force {
			remove = a.ForceDeleteTopic
		}
		if err := remove(ctx, args[0], *broker); err != nil {
			return err
		}
		if wantsJSON(c) {
			return printJSON(c.OutOrStdout(), map[string]any{"topic": args[0], "deleted": true})
		}
		fmt.Fprintf(c.OutOrStdout(), "%s is deleted\n", args[0])
		return nil
	})
	return c
}

func newAdminGroup() *cobra.Command {
	c := &cobra.Command{Use: "group", Short: "Show how far consumer groups are", Args: noArgs,
		Example: "  millrace admin group offsets orders--lake orders--shop--orders"}
	offsets := &cobra.Command{
		Use: "offsets GROUP TOPIC", Short: "Show a group's offsets in a topic", Args: exactArgs("GROUP", "TOPIC"),
		Example: "  millrace admin group offsets orders--lake orders--shop--orders",
		RunE: withAdmin(func(ctx context.Context, c *cobra.Command, a *admin.Client, args []string) error {
			all, err := a.ConsumerOffsets(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			if wantsJSON(c) {
				return printJSON(c.OutOrStdout(), all)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "BROKER\tQUEUE\tOFFSET\tMIN\tMAX\tBEHIND\t")
			for _, o := range all {
				note := ""
				if o.Committed > o.Max {
					note = "BEYOND THE END: the broker lost messages, or the offset was set by hand"
				}
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", o.Queue.BrokerName, o.Queue.QueueID, o.Committed, o.Min, o.Max, o.Max-o.Committed, note)
			}
			return w.Flush()
		}),
	}
	c.AddCommand(offsets)
	return c
}
