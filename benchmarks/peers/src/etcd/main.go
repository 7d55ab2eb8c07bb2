// A member of an etcd cluster, and a client of it, that the driver of benchmarks/ loads.
//
// The member is Debian's etcd server, as a child process. The client in this process puts to it, from as many
// goroutines as there are proposers; the driver loads the leader's.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"wire"

	"go.etcd.io/etcd/clientv3"
	"google.golang.org/grpc/grpclog"
)

const (
	proposersPerClient = 16
	maxClients         = 64
	fillGoroutines     = 1024
	maxTxnOps          = 4096
	tryFor             = 50 * time.Millisecond
)

type worker struct {
	server   *exec.Cmd
	endpoint string
	folder   string
	clients  []*clientv3.Client

	proposers *proposers
}

func (w *worker) start(request *wire.Request) (wire.Reply, error) {
	var members []string
	for node, address := range request.Addresses {
		members = append(members, node+"=http://"+address)
	}
	return w.run(request, strings.Join(members, ","), "new")
}

// run starts the server, as one of these members of a new cluster or an existing one.
func (w *worker) run(request *wire.Request, members string, state string) (wire.Reply, error) {
	w.folder = request.Folder
	w.endpoint = "http://" + request.Clients[request.Node]
	peer := "http://" + request.Addresses[request.Node]
	w.server = exec.Command("etcd",
		"--name", request.Node,
		"--data-dir", w.folder,
		"--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer,
		"--listen-client-urls", w.endpoint,
		"--advertise-client-urls", w.endpoint,
		"--initial-cluster", members,
		"--initial-cluster-state", state,
		"--initial-cluster-token", "benchmark",
		"--quota-backend-bytes", "8589934592",
		"--max-txn-ops", fmt.Sprint(maxTxnOps),
		"--logger", "zap", "--log-level", "error",
	)
	w.server.Stderr = os.Stderr
	w.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.server.Start(); err != nil {
		return nil, err
	}
	if err := w.connect(1); err != nil {
		return nil, err
	}
	return wire.Reply{"pids": []int{w.server.Process.Pid}}, nil
}

func (w *worker) connect(count int) error {
	for len(w.clients) < count {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{w.endpoint}})
		if err != nil {
			return err
		}
		w.clients = append(w.clients, client)
	}
	return nil
}

func (w *worker) client(number int) *clientv3.Client {
	return w.clients[number%len(w.clients)]
}

func (w *worker) status() (wire.Reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	status, err := w.clients[0].Status(ctx, w.endpoint)
	if err != nil {
		return wire.Reply{"leading": false, "leader_known": false, "term": 0, "applied": 0, "stored_bytes": 0}, nil
	}
	return wire.Reply{
		"leading":      status.Leader == status.Header.MemberId,
		"leader_known": status.Leader != 0,
		"term":         status.RaftTerm,
		"applied":      status.RaftAppliedIndex,
		"stored_bytes": wire.FolderBytes(w.folder),
	}, nil
}

func key(number int) string {
	return fmt.Sprintf("key-%d", number)
}

func (w *worker) load(request *wire.Request) (wire.Reply, error) {
	clients := (request.Proposers + proposersPerClient - 1) / proposersPerClient
	if clients > maxClients {
		clients = maxClients
	}
	if err := w.connect(clients); err != nil {
		return nil, err
	}
	value := string(request.Bytes())
	commits := 1
	if request.Mode == "many" {
		commits = request.Batch
	}
	return wire.Load(request, func(number int, count *wire.Proposer) error {
		put := w.putter(number, value, commits)
		for {
			started := time.Now()
			if err := put(); err != nil {
				return err
			}
			if !count.Count(started, commits) {
				return nil
			}
		}
	})
}

// putter returns a function that puts one value, or several in one transaction.
func (w *worker) putter(number int, value string, commits int) func() error {
	client, ctx := w.client(number), context.Background()
	if commits == 1 {
		name := key(number)
		return func() error {
			_, err := client.Put(ctx, name, value)
			return err
		}
	}
	var puts []clientv3.Op
	for i := 0; i < commits; i++ {
		puts = append(puts, clientv3.OpPut(key(number*commits+i), value))
	}
	return func() error {
		_, err := client.Txn(ctx).Then(puts...).Commit()
		return err
	}
}

func (w *worker) fill(request *wire.Request) (wire.Reply, error) {
	if err := w.connect(maxClients); err != nil {
		return nil, err
	}
	value := string(request.Bytes())
	return wire.Fill(request, fillGoroutines, func(number int) error {
		_, err := w.client(number).Put(context.Background(), key(number), value)
		return err
	})
}

func (w *worker) firstCommit() wire.Reply {
	return wire.FirstCommit(func() bool {
		ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(context.Background()), tryFor)
		defer cancel()
		_, err := w.clients[0].Put(ctx, "first", "")
		return err == nil
	})
}

func (w *worker) stop() error {
	if err := w.server.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	w.server.Wait()
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
		return w.fill(request)
	case "first_commit":
		return w.firstCommit(), nil
	case "ready":
		return nil, nil
	case "join":
		return w.join(request)
	case "remove":
		return nil, w.remove(request)
	case "begin":
		return nil, w.begin(request)
	case "end":
		return w.end(), nil
	case "ledger":
		return w.ledger()
	case "stop":
		return nil, w.stop()
	}
	return nil, fmt.Errorf("unknown command %q", request.Command)
}

func main() {
	// The server dies with the thread that started it (Pdeathsig), so that thread must stay.
	runtime.LockOSThread()
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(os.Stderr, os.Stderr, os.Stderr))
	wire.Serve((&worker{}).handle)
}
