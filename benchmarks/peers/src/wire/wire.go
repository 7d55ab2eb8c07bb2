// Package wire is the worker's side of the protocol that benchmarks/workers/wire.py describes.
package wire

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Request holds what any command may carry.
type Request struct {
	Command   string                 `json:"command"`
	Node      string                 `json:"node"`
	Through   string                 `json:"through"`
	Addresses map[string]string      `json:"addresses"`
	Clients   map[string]string      `json:"clients"`
	Folder    string                 `json:"folder"`
	Storage   string                 `json:"storage"`
	Options   map[string]interface{} `json:"options"`
	Proposers int                    `json:"proposers"`
	Payload   int                    `json:"payload"`
	WarmupS   float64                `json:"warmup_s"`
	Seconds   float64                `json:"seconds"`
	Mode      string                 `json:"mode"`
	Batch     int                    `json:"batch"`
	Commits   int                    `json:"commits"`
}

// Reply is the answer to a request.
type Reply map[string]interface{}

// Integer returns a whole number among the options, or the fallback where it is not set.
func (r *Request) Integer(name string, fallback int) int {
	if value, ok := r.Options[name].(float64); ok {
		return int(value)
	}
	return fallback
}

// Bytes returns random bytes of the payload's size.
func (r *Request) Bytes() []byte {
	data := make([]byte, r.Payload)
	rand.Read(data)
	return data
}

// Window is the time during which commits count.
type Window struct {
	begins, ends time.Time
	total        int64
	mutex        sync.Mutex
	ticks        []uint32
	commits      int
}

// Proposer counts for one goroutine, so that the others need not wait for it.
type Proposer struct {
	window  *Window
	ticks   []uint32
	commits int
	total   int64
}

// Count notes acknowledged commits that were asked for at a time; it returns whether to go on.
func (p *Proposer) Count(started time.Time, commits int) bool {
	now := time.Now()
	p.total += int64(commits)
	if now.After(p.window.ends) {
		return false
	}
	if !now.Before(p.window.begins) {
		p.commits += commits
		ticks := float64(now.Sub(started)) / 100
		p.ticks = append(p.ticks, uint32(math.Min(ticks, math.MaxUint32)))
	}
	return true
}

// Load runs the request's number of proposers, each in its goroutine, and returns what to answer.
func Load(request *Request, propose func(number int, count *Proposer) error) (Reply, error) {
	begins := time.Now().Add(seconds(request.WarmupS))
	window := &Window{begins: begins, ends: begins.Add(seconds(request.Seconds))}
	var group sync.WaitGroup
	failures := make(chan error, request.Proposers)
	for number := 0; number < request.Proposers; number++ {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			count := &Proposer{window: window}
			if err := propose(number, count); err != nil {
				failures <- err
			}
			window.add(count)
		}(number)
	}
	group.Wait()
	select {
	case err := <-failures:
		return nil, err
	default:
	}
	return window.result(), nil
}

func (w *Window) add(p *Proposer) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.ticks = append(w.ticks, p.ticks...)
	w.commits += p.commits
	w.total += p.total
}

func (w *Window) result() Reply {
	packed := make([]byte, 4*len(w.ticks))
	for i, ticks := range w.ticks {
		binary.LittleEndian.PutUint32(packed[4*i:], ticks)
	}
	return Reply{
		"commits":   w.commits,
		"seconds":   w.ends.Sub(w.begins).Seconds(),
		"total":     w.total,
		"latencies": base64.StdEncoding.EncodeToString(packed),
	}
}

// Fill calls propose for each of a number of commits, from many goroutines.
func Fill(request *Request, goroutines int, propose func(number int) error) (Reply, error) {
	began := time.Now()
	left := int64(request.Commits)
	var group sync.WaitGroup
	failures := make(chan error, goroutines)
	for number := 0; number < goroutines; number++ {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			for atomic.AddInt64(&left, -1) >= 0 {
				if err := propose(number); err != nil {
					failures <- err
					return
				}
			}
		}(number)
	}
	group.Wait()
	select {
	case err := <-failures:
		return nil, err
	default:
	}
	return Reply{"commits": request.Commits, "seconds": time.Since(began).Seconds()}, nil
}

// FirstCommit tries until it works.
func FirstCommit(try func() bool) Reply {
	for !try() {
		time.Sleep(2 * time.Millisecond)
	}
	return Reply{"at_ns": time.Now().UnixNano()}
}

// FolderBytes is the size on disk of all files in a folder and its folders.
func FolderBytes(folder string) int64 {
	var total int64
	filepath.Walk(folder, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				total += stat.Blocks * 512
			}
		}
		return nil
	})
	return total
}

// Serve answers requests until `stop` or the end of standard input.
func Serve(handle func(*Request) (Reply, error)) {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		request := &Request{}
		var answer Reply
		if err = json.Unmarshal(line, request); err == nil {
			answer, err = handle(request)
		}
		message := Reply{"ok": answer}
		if err != nil {
			message = Reply{"error": err.Error()}
		} else if answer == nil {
			message = Reply{"ok": Reply{}}
		}
		text, err := json.Marshal(message)
		if err != nil {
			text = []byte(fmt.Sprintf(`{"error": %q}`, err.Error()))
		}
		os.Stdout.Write(append(text, '\n'))
		if request.Command == "stop" {
			return
		}
	}
}

func seconds(value float64) time.Duration {
	return time.Duration(value * float64(time.Second))
}
