package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestHistoryIsKept(t *testing.T) {
	ctx := context.Background()
	Convey("Given an engine with the entries of two services whose names begin alike", t, func() {
		m := &memory{}
		for _, service := range []string{"web", "web2"} {
			p := (&past{}).deploys("v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11")
			for _, entry := range p.history {
				So(Begin(ctx, m, service, entry), ShouldBeNil)
				So(entry.New(), ShouldBeFalse)
			}
		}
		_, err := take(ctx, m, "web", taken, false, nobody, still{})
		So(err, ShouldBeNil)

		Convey("the history of one is read in the order of its numbers, without the lock", func() {
			history, err := Read(ctx, m, "web")
			So(err, ShouldBeNil)
			So(history, ShouldHaveLength, 11)
			for i, entry := range history {
				So(entry.N, ShouldEqual, i+1)
				So(entry.After.Version, ShouldEqual, fmt.Sprint("v", i+1))
			}
		})
		Convey("an entry that ends has its outcome and what the engine made of its Spec, and keeps the rest", func() {
			history, _ := Read(ctx, m, "web")
			was, returned := *history[1], made(sent("v2", 2))
			So(End(ctx, m, history[1], Done, &returned), ShouldBeNil)
			history, err := Read(ctx, m, "web")
			So(err, ShouldBeNil)
			So(history[1].Outcome, ShouldEqual, Done)
			So(*history[1].After.Returned, ShouldResemble, returned)
			So(history[1].Before, ShouldResemble, was.Before)
			So(history[1].By, ShouldEqual, was.By)
		})
		Convey("an entry that failed has no returned Spec", func() {
			p := (&past{}).ends("v12", Running)
			p.history[0].N, p.history[0].After.Returned = 12, nil
			So(Begin(ctx, m, "web", p.history[0]), ShouldBeNil)
			So(End(ctx, m, p.history[0], Failed, nil), ShouldBeNil)
			history, err := Read(ctx, m, "web")
			So(err, ShouldBeNil)
			So(history.Entry(12).Outcome, ShouldEqual, Failed)
			So(history.Entry(12).After.Returned, ShouldBeNil)
		})
		Convey("an entry that somebody else has claimed cannot be ended by its own deploy", func() {
			p := (&past{}).ends("v12", Running)
			p.history[0].N, p.history[0].After.Returned = 12, nil
			So(Begin(ctx, m, "web", p.history[0]), ShouldBeNil)
			history, err := Read(ctx, m, "web")
			So(err, ShouldBeNil)
			open, err := Claim(ctx, m, history.Entry(12), "me")
			So(err, ShouldBeNil)
			So(open, ShouldBeTrue)
			So(End(ctx, m, p.history[0], Done, nil), ShouldEqual, ErrLost)
			Convey("but by who has claimed it, and then nobody can claim it any more", func() {
				So(End(ctx, m, history.Entry(12), Failed, nil), ShouldBeNil)
				open, err := Claim(ctx, m, history.Entry(12), "you")
				So(err, ShouldBeNil)
				So(open, ShouldBeFalse)
			})
		})
		Convey("only the last ten stay, and those of the other service do", func() {
			history, _ := Read(ctx, m, "web")
			So(Trim(ctx, m, history, nil), ShouldBeNil)
			history, err := Read(ctx, m, "web")
			So(err, ShouldBeNil)
			So(history, ShouldHaveLength, Length)
			So(history[0].N, ShouldEqual, 2)
			So(history.Next(), ShouldEqual, 12)
			others, _ := Read(ctx, m, "web2")
			So(others, ShouldHaveLength, 11)
			Convey("but what runs and what can be gone back to stay, however old they are", func() {
				old := &past{}
				old.deploys("a", "b")
				for range 12 {
					old.ends("bad", Failed)
				}
				for _, entry := range old.history {
					So(Begin(ctx, m, "old", entry), ShouldBeNil)
				}
				current := old.now()
				current.Keep = 1
				So(Trim(ctx, m, old.history, current), ShouldBeNil)
				left, err := Read(ctx, m, "old")
				So(err, ShouldBeNil)
				So(left, ShouldHaveLength, Length)
				So(left[0].N, ShouldEqual, 1)
				So(left[1].N, ShouldEqual, 2)
			})
			Convey("and a short history stays whole", func() {
				So(Trim(ctx, m, history, nil), ShouldBeNil)
				history, _ := Read(ctx, m, "web")
				So(history, ShouldHaveLength, Length)
			})
		})
		Convey("it can be forgotten as a whole, but for the lock and the other service", func() {
			history, _ := Read(ctx, m, "web")
			So(Forget(ctx, m, history), ShouldBeNil)
			So(m.names(), ShouldHaveLength, 12)
			So(m.names(), ShouldContain, "web.deploy.lock")
		})
		Convey("an entry that cannot be stored is an error, which says so", func() {
			m.broken = errors.New("no quorum")
			err := Begin(ctx, m, "web", (&past{}).deploys("v1").history[0])
			So(err, ShouldBeError, "store the running version before the change: no quorum")
			_, err = Read(ctx, m, "web")
			So(err, ShouldBeError, "no quorum")
			history := (&past{}).deploys("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11").history
			So(Trim(ctx, m, history, nil), ShouldBeError, "no quorum")
			So(Forget(ctx, m, history), ShouldBeError, "no quorum")
		})
		Convey("an entry that cannot be read is an error", func() {
			m.configs[3].Spec.Data = []byte("{")
			_, err := Read(ctx, m, "web")
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldContainSubstring, "docker config rm web.deploy.4")
		})
	})
}

func TestRecordsOfAllServices(t *testing.T) {
	ctx := context.Background()
	Convey("Given a swarm with the histories and locks of some services, and configs of others", t, func() {
		m := &memory{}
		store := func(service string, versions ...string) {
			for _, entry := range (&past{}).deploys(versions...).history {
				So(Begin(ctx, m, service, entry), ShouldBeNil)
			}
		}
		hold := func(service string) {
			_, err := take(ctx, m, service, taken, false, nobody, still{})
			So(err, ShouldBeNil)
		}
		store("web", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11")
		store("web2", "w1")
		store("blue_web", "b1", "b2")
		hold("web")
		hold("fresh") // Its first deploy has just begun.
		for name, labels := range map[string]map[string]string{
			"site-0123456789ab": {"deploy.services": "web"}, "plain": nil, "web.deploy.5-of-somebody": {"a": "b"}, "other.deploy.1": nil,
			"other.deploy.lock": {"a": "b"}, "third": {labelN: "1"}, "fourth": {labelHolder: "somebody"}, "web3.deploy-lock": {"copyall.holder": "a script"},
		} {
			_, err := m.CreateConfig(ctx, name, labels, []byte("{}"))
			So(err, ShouldBeNil)
		}
		records, err := All(ctx, m)
		So(err, ShouldBeNil)

		Convey("there is a record of each service with a history or a lock, and none of the rest", func() {
			So(slices.Sorted(maps.Keys(records)), ShouldResemble, []string{"blue_web", "fresh", "web", "web2"})
		})
		Convey("a record has the whole history, the oldest first, as it is read for one service", func() {
			for name, record := range records {
				history, err := Read(ctx, m, name)
				So(err, ShouldBeNil)
				So(record.History, ShouldResemble, history)
			}
			So(records["web"].History, ShouldHaveLength, 11)
			So(records["web"].History[10].After.Version, ShouldEqual, "v11")
			So(records["blue_web"].History, ShouldHaveLength, 2)
			So(records["web2"].History, ShouldHaveLength, 1)
		})
		Convey("it tells who holds the lock, as it is told for one service", func() {
			for name, record := range records {
				held, err := Held(ctx, m, name)
				So(err, ShouldBeNil)
				So(fmt.Sprint(record.Held), ShouldEqual, fmt.Sprint(held))
			}
			So(records["web"].Held.Service, ShouldEqual, "web")
			So(records["web"].Held.Holder, ShouldEqual, Holder())
			So(records["web2"].Held, ShouldBeNil)
			So(records["blue_web"].Held, ShouldBeNil)
		})
		Convey("a service may have a lock and no history yet", func() {
			So(records["fresh"].History, ShouldBeEmpty)
			So(records["fresh"].Held.Service, ShouldEqual, "fresh")
		})
		Convey("an entry that cannot be read is an error that names it", func() {
			m.configs[2].Spec.Data = []byte("{")
			_, err := All(ctx, m)
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldContainSubstring, "docker config rm web.deploy.3")
		})
		Convey("so is a swarm that does not answer", func() {
			m.broken = errors.New("no quorum")
			_, err := All(ctx, m)
			So(err, ShouldBeError, "no quorum")
		})
	})
	Convey("A swarm without configs has no records", t, func() {
		records, err := All(ctx, &memory{})
		So(err, ShouldBeNil)
		So(records, ShouldBeEmpty)
	})
}
