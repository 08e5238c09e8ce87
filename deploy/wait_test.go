package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// changesOf are the changes of a service, as words such as create and remove.
func (p *pretend) changesOf(service string) []string {
	p.Lock()
	defer p.Unlock()
	var changes []string
	of := map[string]bool{} // ids of the service
	for _, line := range p.log {
		words := strings.Fields(line)
		if len(words) > 2 && strings.Contains(words[2], "-"+service+"-") {
			of[words[1]] = true
		}
		if of[words[1]] {
			changes = append(changes, words[0])
		}
	}
	return changes
}

func TestThreeAtOnce(t *testing.T) {
	for name, commands := range map[string][]string{
		"deploys and a rollback": {"up --force --wait", "rollback web --wait", "up shop --force --wait"},
		"deploys and a removal":  {"up web shop --force --wait", "remove --wait", "up web --force --wait"},
	} {
		Convey("Three commands at once, whose services overlap, run one after the other: "+name, t, func() {
			p := pretendSwarm(t)
			So(with(t, "v1", "up").exit, ShouldEqual, 0)
			So(with(t, "v2", "up").exit, ShouldEqual, 0)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var all sync.WaitGroup
			results := make([]result, len(commands))
			for i, command := range commands {
				began := make(chan bool) // It has read its file. Two commands of one process cannot do so at once.
				p.hook("GET", "/info", func() { close(began) })
				all.Go(func() { results[i] = deploy(ctx, strings.Fields(command)...) })
				select {
				case <-began:
				case <-ctx.Done():
				}
			}
			all.Wait()
			for i, r := range results {
				t.Logf("--- %s: exit %d\n%s%s", commands[i], r.exit, r.stdout, r.stderr)
				So(r.exit, ShouldEqual, 0)
				So(r.stdout, ShouldNotContainSubstring, "has died")
				So(r.stdout, ShouldNotContainSubstring, "was cut off")
			}
			for _, service := range []string{"shop", "web"} {
				So(p.outcomes(service), ShouldNotContainSubstring, "running")
				So(p.outcomes(service), ShouldNotContainSubstring, "failed")
				// Each removal has its own mark, and each creation its own removal.
				changes := slices.DeleteFunc(p.changesOf(service), func(one string) bool { return one == "update" })
				for i, one := range changes {
					So(one, ShouldEqual, []string{"create", "remove"}[i%2])
				}
			}
			p.Lock()
			defer p.Unlock()
			for _, one := range p.configs {
				So(one.Spec.Name, ShouldNotEndWith, ".deploy.lock")
			}
		})
	}
}
