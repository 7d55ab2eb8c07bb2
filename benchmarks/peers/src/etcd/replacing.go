// Members that come and go, and a client that is there meanwhile: what the question `replace` asks of a worker.
package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"wire"

	"go.etcd.io/etcd/clientv3"
	"google.golang.org/grpc/status"
)

const (
	askFor    = 30 * time.Second
	putFor    = 10 * time.Second
	retry     = 10 * time.Millisecond
	pause     = 5 * time.Millisecond
	bucket    = 50 * time.Millisecond
	perClient = 16
)

// join adds this worker's member as a learner, starts it, and has it promoted as soon as the leader agrees.
func (w *worker) join(request *wire.Request) (wire.Reply, error) {
	through, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + request.Clients[request.Through]}})
	if err != nil {
		return nil, err
	}
	defer through.Close()
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	peer := "http://" + request.Addresses[request.Node]
	var added *clientv3.MemberAddResponse
	err = insist(ctx, func() (err error) {
		added, err = through.MemberAddAsLearner(ctx, []string{peer})
		return err
	})
	if err != nil {
		return nil, err
	}
	var members []string
	for _, member := range added.Members {
		name := member.Name
		if member.ID == added.Member.ID {
			name = request.Node
		}
		members = append(members, name+"="+member.PeerURLs[0])
	}
	reply, err := w.run(request, strings.Join(members, ","), "existing")
	if err != nil {
		return nil, err
	}
	return reply, insist(ctx, func() error {
		_, err := through.MemberPromote(ctx, added.Member.ID)
		return err
	})
}

// insist tries until it works, or there is no time left: a change is refused for a while after each change of the
// members' connections.
func insist(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(retry)
	}
}

func (w *worker) remove(request *wire.Request) error {
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	known, err := w.clients[0].MemberList(ctx)
	if err != nil {
		return err
	}
	for _, member := range known.Members {
		if member.Name == request.Node {
			return insist(ctx, func() error {
				_, err := w.clients[0].MemberRemove(ctx, member.ID)
				return err
			})
		}
	}
	return fmt.Errorf("%q is no member", request.Node)
}

// proposers put, each to a key of its own, how many of its puts were acknowledged with this one; over and over.
type proposers struct {
	mutex        sync.Mutex
	group        sync.WaitGroup
	over         bool
	began, last  time.Time
	buckets      []int
	pauses       [][2]int64
	errors       map[string]int
	acknowledged map[string]int
	unknown      map[string]int
}

func (w *worker) begin(request *wire.Request) error {
	var endpoints []string
	for _, address := range request.Clients {
		endpoints = append(endpoints, "http://"+address)
	}
	now := time.Now()
	w.proposers = &proposers{
		began: now, last: now,
		errors: map[string]int{}, acknowledged: map[string]int{}, unknown: map[string]int{},
	}
	filler := strings.Repeat("x", request.Payload)
	var client *clientv3.Client
	var err error
	for number := 0; number < request.Proposers; number++ {
		if number%perClient == 0 {
			if client, err = clientv3.New(clientv3.Config{Endpoints: endpoints}); err != nil {
				return err
			}
		}
		w.proposers.group.Add(1)
		go w.proposers.run(client, strconv.Itoa(number), filler)
	}
	return nil
}

func (p *proposers) run(client *clientv3.Client, name string, filler string) {
	defer p.group.Done()
	for number := 1; ; {
		value := strconv.Itoa(number) + " "
		ctx, cancel := context.WithTimeout(context.Background(), putFor)
		_, err := client.Put(ctx, keyOf(name), value+filler[:max(0, len(filler)-len(value))])
		cancel()
		if p.note(name, err) {
			return
		}
		if err == nil {
			number++
		} else {
			time.Sleep(retry)
		}
	}
}

func (p *proposers) note(name string, err error) bool {
	now := time.Now()
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if err != nil {
		kind := status.Convert(err).Message()
		p.errors[kind]++
		p.unknown[name]++
		return p.over
	}
	p.acknowledged[name]++
	for at := int(now.Sub(p.began) / bucket); len(p.buckets) <= at; {
		p.buckets = append(p.buckets, 0)
	}
	p.buckets[len(p.buckets)-1]++
	if now.Sub(p.last) > pause {
		p.pauses = append(p.pauses, [2]int64{p.last.UnixNano(), now.UnixNano()})
	}
	p.last = now
	return p.over
}

func (w *worker) end() wire.Reply {
	p := w.proposers
	p.mutex.Lock()
	p.over = true
	p.mutex.Unlock()
	p.group.Wait()
	if p.pauses == nil {
		p.pauses = [][2]int64{}
	}
	return wire.Reply{
		"began_ns": p.began.UnixNano(), "bucket_ns": bucket.Nanoseconds(), "buckets": p.buckets, "pauses": p.pauses,
		"errors": p.errors, "acknowledged": p.acknowledged, "unknown": p.unknown,
	}
}

// ledger tells what each proposer's key says of its puts.
func (w *worker) ledger() (wire.Reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	found, err := w.clients[0].Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	applied := map[string]int{}
	for _, pair := range found.Kvs {
		count, err := strconv.Atoi(strings.SplitN(string(pair.Value), " ", 2)[0])
		if err != nil {
			return nil, err
		}
		applied[strings.TrimPrefix(string(pair.Key), prefix)] = count
	}
	return wire.Reply{"applied": applied}, nil
}

const prefix = "proposer-"

func keyOf(name string) string {
	return prefix + name
}

func max(one, other int) int {
	if one > other {
		return one
	}
	return other
}
