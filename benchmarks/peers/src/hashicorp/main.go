// A node of hashicorp/raft with BoltDB that the driver of benchmarks/ loads.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"wire"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb"
)

const (
	cachedEntries  = 512 // what Consul gives the cache before its store
	fillGoroutines = 1024
)

// counter is the state machine. The result of each command is its number.
type counter struct{ count uint64 }

func (c *counter) Apply(*raft.Log) interface{} {
	c.count++
	return c.count
}

func (c *counter) Snapshot() (raft.FSMSnapshot, error) {
	return snapshot(c.count), nil
}

func (c *counter) Restore(reader io.ReadCloser) error {
	defer reader.Close()
	return binary.Read(reader, binary.BigEndian, &c.count)
}

type snapshot uint64

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := binary.Write(sink, binary.BigEndian, uint64(s)); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s snapshot) Release() {}

type worker struct {
	node   *raft.Raft
	folder string
}

func (w *worker) start(request *wire.Request) (wire.Reply, error) {
	w.folder = request.Folder
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(request.Node)
	config.LogOutput = os.Stderr
	config.LogLevel = "ERROR"
	config.MaxAppendEntries = request.Integer("MaxAppendEntries", config.MaxAppendEntries)

	var logs raft.LogStore
	var stable raft.StableStore
	var snapshots raft.SnapshotStore
	if request.Storage == "memory" {
		store := raft.NewInmemStore()
		logs, stable, snapshots = store, store, raft.NewInmemSnapshotStore()
	} else {
		// NoSync stays false: BoltDB syncs its file at each transaction.
		store, err := raftboltdb.NewBoltStore(filepath.Join(w.folder, "raft.db"))
		if err != nil {
			return nil, err
		}
		cache, err := raft.NewLogCache(cachedEntries, store)
		if err != nil {
			return nil, err
		}
		files, err := raft.NewFileSnapshotStore(w.folder, 2, io.Discard)
		if err != nil {
			return nil, err
		}
		logs, stable, snapshots = cache, store, files
	}
	transport, err := raft.NewTCPTransport(request.Addresses[request.Node], nil, 3, 10*time.Second, io.Discard)
	if err != nil {
		return nil, err
	}
	known, err := raft.HasExistingState(logs, stable, snapshots)
	if err != nil {
		return nil, err
	}
	if !known {
		members := raft.Configuration{}
		for node, address := range request.Addresses {
			members.Servers = append(members.Servers, raft.Server{
				ID: raft.ServerID(node), Address: raft.ServerAddress(address),
			})
		}
		if err := raft.BootstrapCluster(config, logs, stable, snapshots, transport, members); err != nil {
			return nil, err
		}
	}
	w.node, err = raft.NewRaft(config, &counter{}, logs, stable, snapshots, transport)
	return nil, err
}

func (w *worker) status() (wire.Reply, error) {
	term, err := strconv.Atoi(w.node.Stats()["term"])
	if err != nil {
		return nil, err
	}
	return wire.Reply{
		"leading":      w.node.State() == raft.Leader,
		"leader_known": w.node.Leader() != "",
		"term":         term,
		"applied":      w.node.AppliedIndex(),
		"stored_bytes": wire.FolderBytes(w.folder),
	}, nil
}

func (w *worker) load(request *wire.Request) (wire.Reply, error) {
	payload := request.Bytes()
	if request.Mode == "pipeline" {
		return wire.Load(request, func(_ int, count *wire.Proposer) error {
			return w.pipeline(payload, request.Batch, count)
		})
	}
	return wire.Load(request, func(_ int, count *wire.Proposer) error {
		for {
			started := time.Now()
			if err := w.node.Apply(payload, 0).Error(); err != nil {
				return err
			}
			if !count.Count(started, 1) {
				return nil
			}
		}
	})
}

type inFlight struct {
	started time.Time
	future  raft.ApplyFuture
}

// pipeline keeps a number of commands in flight and awaits the oldest.
func (w *worker) pipeline(payload []byte, depth int, count *wire.Proposer) error {
	waiting := make(chan inFlight, depth)
	for len(waiting) < depth {
		waiting <- inFlight{time.Now(), w.node.Apply(payload, 0)}
	}
	for going := true; len(waiting) > 0; {
		oldest := <-waiting
		if err := oldest.future.Error(); err != nil {
			return err
		}
		going = count.Count(oldest.started, 1) && going
		if going {
			waiting <- inFlight{time.Now(), w.node.Apply(payload, 0)}
		}
	}
	return nil
}

func (w *worker) handle(request *wire.Request) (wire.Reply, error) {
	switch request.Command {
	case "start":
		return w.start(request)
	case "status":
		return w.status()
	case "load":
		return w.load(request)
	case "fill":
		payload := request.Bytes()
		return wire.Fill(request, fillGoroutines, func(int) error { return w.node.Apply(payload, 0).Error() })
	case "first_commit":
		return wire.FirstCommit(func() bool {
			return w.node.State() == raft.Leader && w.node.Apply([]byte("first"), 0).Error() == nil
		}), nil
	case "stop":
		return nil, w.node.Shutdown().Error()
	}
	return nil, fmt.Errorf("unknown command %q", request.Command)
}

func main() {
	wire.Serve((&worker{}).handle)
}
