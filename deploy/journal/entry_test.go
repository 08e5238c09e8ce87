package journal

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/stack"
)

func TestEntriesSurviveTheirStorage(t *testing.T) {
	Convey("Given an entry with all that one can have", t, func() {
		snapshot := func(n int, version string) Snapshot {
			spec, returned := sent(version, n), made(sent(version, n))
			spec.Mode = swarm.ServiceMode{Global: &swarm.GlobalService{}}
			return Snapshot{
				Entry: n, Version: version, Spec: spec, Sent: &spec, Returned: &returned, Networks: netNames,
				Made: map[string]stack.NetworkSpec{"net": {
					Driver: "macvlan", DriverOpts: map[string]string{"mtu": "1400"}, Labels: map[string]string{"a": "b"},
					Internal: true, Attachable: true, IPAMDriver: "custom", Subnets: []string{"10.11.0.0/24", "fd00::/64"},
				}},
				Verify: &stack.Verify{Path: "/a", Port: 80, URL: "http://a/", Status: 204, Body: "{\"é\": \"\n\"}"},
				Trial:  1500 * time.Millisecond, Timeout: time.Minute, Keep: 7,
			}
		}
		before := snapshot(3, "v1")
		entry := Entry{
			N: 4, Outcome: Running, By: "me on host", At: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
			Before: &before, After: snapshot(4, "v2"), Lines: []string{"image: a → b", "environment.KEY: changed"},
		}
		entry.After.Returned = nil // Not known before the deploy ends.

		roundTrip := func() *Entry {
			labels, text, err := entry.encode()
			So(err, ShouldBeNil)
			read, err := decode(swarm.Config{ID: "id", Spec: swarm.ConfigSpec{Annotations: swarm.Annotations{Name: "web.deploy.4", Labels: labels}, Data: text}})
			So(err, ShouldBeNil)
			return read
		}
		Convey("it is read back whole", func() {
			read := roundTrip()
			So(read.New(), ShouldBeFalse)
			read.config = ""
			So(*read, ShouldResemble, entry)
			So(read.New(), ShouldBeTrue)
		})
		Convey("one of a first deploy, too", func() {
			entry.Before = nil
			read := roundTrip()
			read.config = ""
			So(*read, ShouldResemble, entry)
		})
		Convey("its labels tell people and docker config ls what it is", func() {
			labels, _, err := entry.encode()
			So(err, ShouldBeNil)
			So(labels, ShouldResemble, map[string]string{"deploy.entry": "4", "deploy.outcome": "running", "deploy.version": "v2", "deploy.image": "v2",
				"deploy.by": "me on host", "deploy.at": "2026-02-03T04:05:06Z"})
		})
	})
	for what, spec := range map[string]swarm.ConfigSpec{
		"no number":        {Annotations: swarm.Annotations{Labels: map[string]string{"deploy.entry": "x"}}, Data: []byte("{}")},
		"no JSON":          {Annotations: swarm.Annotations{Labels: map[string]string{"deploy.entry": "1"}}, Data: []byte("{")},
		"no returned JSON": {Annotations: swarm.Annotations{Labels: map[string]string{"deploy.entry": "1", "deploy.returned": "{"}}, Data: []byte("{}")},
	} {
		Convey("An entry with "+what+" is an error that names it and says what to do", t, func() {
			spec.Name = "web.deploy.1"
			_, err := decode(swarm.Config{Spec: spec})
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldStartWith, "read entry web.deploy.1 of the history: ")
			So(err.Error(), ShouldEndWith, "remove it: docker config rm web.deploy.1")
		})
	}
}

// shown are the versions, youngest first, as VERSION or, with what was done by hand, VERSION+HAND.
func shown(versions ...*Snapshot) string {
	var all []string
	for _, version := range versions {
		if version == nil {
			all = append(all, "none")
			continue
		}
		text := version.Version
		if hand := version.Spec.TaskTemplate.ContainerSpec.User; hand != "" {
			text += "+" + hand
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func TestHistories(t *testing.T) {
	user := func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.User = "hand" }
	other := func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.User = "more" }
	scale := func(s *swarm.ServiceSpec) {
		nine := uint64(9)
		s.Mode.Replicated = &swarm.ReplicatedService{Replicas: &nine}
	}
	force := func(s *swarm.ServiceSpec) { s.TaskTemplate.ForceUpdate++ }
	newNet := func(s *swarm.ServiceSpec) { s.TaskTemplate.Networks[0].Target = "net" } // The network was created again: its id is not the recorded one.
	fresh := func() *past { return &past{} }
	for _, one := range []struct {
		what      string
		past      *past
		next      int
		current   int       // entry of what runs
		previous  string    // what rollback goes back to
		reachable [4]string // by keep: 0, 1, 2, 3
	}{
		{"one deploy", fresh().deploys("v1"), 2, 1, "none", [4]string{"", "", "", ""}},
		{"two deploys", fresh().deploys("v1", "v2"), 3, 2, "v1", [4]string{"", "v1", "v1", "v1"}},
		{"three deploys", fresh().deploys("v1", "v2", "v3"), 4, 3, "v2", [4]string{"", "v2", "v2 v1", "v2 v1"}},
		{"five deploys", fresh().deploys("v1", "v2", "v3", "v4", "v5"), 6, 5, "v4", [4]string{"", "v4", "v4 v3", "v4 v3 v2"}},
		{"the same deployed twice", fresh().deploys("v1", "v2", "v2"), 4, 3, "v1", [4]string{"", "v1", "v1", "v1"}},
		{"the same deployed three times", fresh().deploys("v1", "v2", "v2", "v2"), 5, 4, "v1", [4]string{"", "v1", "v1", "v1"}},
		{"nothing but the same", fresh().deploys("v1", "v1"), 3, 2, "none", [4]string{"", "", "", ""}},
		{"an older version deployed twice", fresh().deploys("v1", "v1", "v2"), 4, 3, "v1", [4]string{"", "v1", "v1", "v1"}},
		{"a version deployed again later", fresh().deploys("v1", "v2", "v1"), 4, 3, "v2", [4]string{"", "v2", "v2", "v2"}},
		{"a first deploy that failed", fresh().ends("v1", Failed), 2, 0, "", [4]string{"", "", "", ""}},
		{"a failed deploy after a good one", fresh().deploys("v1").ends("v2", Failed), 3, 1, "none", [4]string{"", "", "", ""}},
		{"failed deploys in between", fresh().deploys("v1").ends("v2", Failed).ends("v3", Failed).deploys("v4"), 5, 4, "v1", [4]string{"", "v1", "v1", "v1"}},
		{"a failed deploy at the end", fresh().deploys("v1", "v2").ends("v3", Failed), 4, 2, "v1", [4]string{"", "v1", "v1", "v1"}},
		{"a rollback", fresh().deploys("v1", "v2").back(0), 4, 3, "v2", [4]string{"", "v2", "v2", "v2"}},
		{"a rollback and one of it", fresh().deploys("v1", "v2").back(0).back(0), 5, 4, "v1", [4]string{"", "v1", "v1", "v1"}},
		{"rollbacks back and forth", fresh().deploys("v1", "v2").back(0).back(0).back(0), 6, 5, "v2", [4]string{"", "v2", "v2", "v2"}},
		{"a rollback to the first", fresh().deploys("v1", "v2", "v3").back(1), 5, 4, "v3", [4]string{"", "v3", "v3 v2", "v3 v2"}},
		{"a rollback to the first and forward", fresh().deploys("v1", "v2", "v3").back(1).back(3), 6, 5, "v1", [4]string{"", "v1", "v1 v2", "v1 v2"}},
		{"a rollback, then a deploy", fresh().deploys("v1", "v2").back(0).deploys("v3"), 5, 4, "v1", [4]string{"", "v1", "v1 v2", "v1 v2"}},
		{"a change made by hand before a deploy", fresh().deploys("v1").byHand(user).deploys("v2"), 3, 2, "v1+hand", [4]string{"", "v1+hand", "v1+hand", "v1+hand"}},
		{"a change made by hand, and overwritten", fresh().deploys("v1").byHand(user).deploys("v1"), 3, 2, "v1+hand", [4]string{"", "v1+hand", "v1+hand", "v1+hand"}},
		{"a change made by hand to what runs", fresh().deploys("v1", "v2").byHand(user), 3, 2, "v1", [4]string{"", "v1", "v1", "v1"}},
		{"changes made by hand before and after a failed deploy", fresh().deploys("v1").byHand(user).ends("v2", Failed).byHand(other), 3, 1, "none", [4]string{"", "", "", ""}},
		{"a change made by hand, and gone back to", fresh().deploys("v1").byHand(user).deploys("v2").back(0), 4, 3, "v2", [4]string{"", "v2", "v2", "v2"}},
		{"scaled by hand", fresh().deploys("v1").byHand(scale).deploys("v1"), 3, 2, "none", [4]string{"", "", "", ""}},
		{"forced by hand", fresh().deploys("v1").byHand(force).deploys("v1"), 3, 2, "none", [4]string{"", "", "", ""}},
		{"a network that was made anew", fresh().deploys("v1").byHand(newNet).deploys("v1"), 3, 2, "none", [4]string{"", "", "", ""}},
		{"a service of older scripts", scripted("v1"), 2, 1, "v0", [4]string{"", "v0", "v0", "v0"}},
		{"a deploy over a service of older scripts", scripted("v1").deploys("v2"), 3, 2, "v1", [4]string{"", "v1", "v1", "v1"}},
		{"a failed deploy over one of older scripts", scripted("v1").ends("v2", Failed), 3, 1, "v0", [4]string{"", "v0", "v0", "v0"}},
		{"a rollback to what older scripts deployed", scripted("v1").deploys("v2").back(0), 4, 3, "v2", [4]string{"", "v2", "v2", "v2"}},
		{"a history trimmed at its old end", fresh().deploys("v1", "v2", "v3", "v4").trimmed(2), 5, 4, "v3", [4]string{"", "v3", "v3", "v3"}},
		{"a history trimmed to what runs", fresh().deploys("v1", "v2").trimmed(1), 3, 2, "v1", [4]string{"", "v1", "v1", "v1"}},
		{"the same deployed twice, trimmed to what runs", fresh().deploys("v1", "v2", "v2").trimmed(2), 4, 3, "none", [4]string{"", "", "", ""}},
	} {
		Convey("After "+one.what+", the history knows what runs, and what can be gone back to", t, func() {
			history := one.past.history
			So(history.Next(), ShouldEqual, one.next)
			current := one.past.now()
			if one.current == 0 {
				So(current, ShouldBeNil)
				So(history.Reachable(nil, 3), ShouldBeEmpty)
				return
			}
			So(current.Entry, ShouldEqual, one.current)
			So(shown(history.Previous(current)), ShouldEqual, one.previous)
			for keep, want := range one.reachable {
				So(shown(history.Reachable(current, keep)...), ShouldEqual, want)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	user := func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.User = "hand" }
	twice := (&past{}).deploys("v1", "v2", "v3").byHand(user).ends("v4", Failed).deploys("v5")
	stuck := (&past{}).deploys("v1").ends("v2", Failed)
	stuck.service = &swarm.Service{Spec: made(stuck.history[1].After.Spec)} // It could not be restored.
	stuck.deploys("v3")
	for _, one := range []struct {
		what    string
		history History
		n       int
		want    string
	}{
		{"one that a later deploy replaced", twice.history, 1, "v1"},
		{"one that was changed by hand before it was replaced", twice.history, 3, "v3+hand"},
		{"one whose deploy failed", twice.history, 4, "none"},
		{"one whose deploy failed, and what ran before could not be put back", stuck.history, 2, "none"},
		{"what runs", twice.history, 5, "v5"},
		{"one of before the history", twice.history, 0, "none"},
		{"one of after the history", twice.history, 6, "none"},
		{"one that was cut off", (&past{}).ends("v1", Running).history, 1, "none"},
		{"what older scripts deployed", scripted("v1").history, 1, "v1"},
		{"one of an empty history", nil, 1, "none"},
		{"one that was trimmed, and that the next still knows", (&past{}).deploys("v1", "v2").trimmed(1).history, 1, "v1"},
	} {
		Convey("The version of "+one.what+" is "+one.want, t, func() { So(shown(one.history.Version(one.n)), ShouldEqual, one.want) })
	}
	Convey("The last version is that of the last deploy that worked, as it ran last", t, func() {
		So(shown(twice.history.Last()), ShouldEqual, "v5")
		So(shown((&past{}).deploys("v1").byHand(user).ends("v2", Failed).history.Last()), ShouldEqual, "v1+hand")
		So(History(nil).Last(), ShouldBeNil)
	})
	Convey("A service that somebody made by hand is not taken for the one that older scripts deployed", t, func() {
		service := swarm.Service{Spec: made(sent("v1", 0))}
		service.Spec.Labels = nil
		So(scripted("v1").history.Current(&service, netNames).Entry, ShouldEqual, 0)
	})
	Convey("An entry is found by its number", t, func() {
		So(twice.history.Entry(3).After.Version, ShouldEqual, "v3")
		So(twice.history.Entry(9), ShouldBeNil)
		So(History(nil).Entry(1), ShouldBeNil)
		So(History(nil).Next(), ShouldEqual, 1)
	})
}

// adopted is a service that somebody else made, and that this program took over as it was.
func adopted() *past {
	spec := made(sent("v1", 0))
	spec.Labels = map[string]string{"theirs": "yes"}
	inside := *spec.TaskTemplate.ContainerSpec
	inside.Secrets = []*swarm.SecretReference{{SecretName: "token", SecretID: "id-of-token", File: &swarm.SecretReferenceFileTarget{Name: "token", Mode: 0o444}}}
	inside.Configs = []*swarm.ConfigReference{{ConfigName: "site", ConfigID: "id-of-site", File: &swarm.ConfigReferenceFileTarget{Name: "site", Mode: 0o444}}}
	spec.TaskTemplate.ContainerSpec = &inside
	after := Snapshot{Entry: 1, Version: "theirs", Spec: spec, Networks: netNames, Trial: 3 * time.Second, Timeout: time.Minute, Keep: 3}
	return &past{History{{N: 1, Outcome: Found, By: "somebody else", After: after}}, &swarm.Service{Spec: spec}}
}

func TestServicesThatWereTakenOver(t *testing.T) {
	inside := func(change func(*swarm.ContainerSpec)) func(*swarm.ServiceSpec) {
		return func(s *swarm.ServiceSpec) { change(s.TaskTemplate.ContainerSpec) }
	}
	secret := func(name, id, target string) func(*swarm.ServiceSpec) {
		return inside(func(s *swarm.ContainerSpec) {
			s.Secrets = []*swarm.SecretReference{{SecretName: name, SecretID: id, File: &swarm.SecretReferenceFileTarget{Name: target, Mode: 0o444}}}
		})
	}
	config := func(name, id string) func(*swarm.ServiceSpec) {
		return inside(func(s *swarm.ContainerSpec) {
			s.Configs = []*swarm.ConfigReference{{ConfigName: name, ConfigID: id, File: &swarm.ConfigReferenceFileTarget{Name: "site", Mode: 0o444}}}
		})
	}
	for what, one := range map[string]struct {
		byHand func(*swarm.ServiceSpec)
		entry  int
	}{
		"is as it was taken over": {func(*swarm.ServiceSpec) {}, 1},
		"was scaled since": {func(s *swarm.ServiceSpec) {
			nine := uint64(9)
			s.Mode = swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &nine}}
		}, 1},
		"was started anew since":                     {func(s *swarm.ServiceSpec) { s.TaskTemplate.ForceUpdate++ }, 1},
		"has its network under another id since":     {func(s *swarm.ServiceSpec) { s.TaskTemplate.Networks[0].Target = "net" }, 1},
		"has its secret under another id since":      {secret("token", "another-id", "token"), 1},
		"has its config under another id since":      {config("site", "another-id"), 1},
		"has another secret since":                   {secret("token-2", "id-of-token", "token"), 0},
		"has its secret at another place since":      {secret("token", "id-of-token", "elsewhere"), 0},
		"has another config since":                   {config("site-2", "id-of-site"), 0},
		"has another variable since":                 {inside(func(s *swarm.ContainerSpec) { s.Env = []string{"A=1"} }), 0},
		"has another image since":                    {inside(func(s *swarm.ContainerSpec) { s.Image = "v2" }), 0},
		"has another label since":                    {func(s *swarm.ServiceSpec) { s.Labels = map[string]string{"theirs": "no"} }, 0},
		"has no label any more":                      {func(s *swarm.ServiceSpec) { s.Labels = nil }, 0},
		"has a label of an entry that is not there":  {func(s *swarm.ServiceSpec) { s.Labels = map[string]string{"theirs": "yes", LabelEntry: "7"} }, 0},
		"has a label of an entry that is no number":  {func(s *swarm.ServiceSpec) { s.Labels = map[string]string{"theirs": "yes", LabelEntry: "x"} }, 1},
		"is on another network since":                {func(s *swarm.ServiceSpec) { s.TaskTemplate.Networks[0].Target = "net-2" }, 0},
		"is a service of older scripts, in its name": {func(s *swarm.ServiceSpec) { s.Labels = map[string]string{LabelScripts: "a"} }, 1},
	} {
		Convey("A service that was taken over and "+what+" is of entry "+strconv.Itoa(one.entry), t, func() {
			p := adopted().byHand(one.byHand)
			now := p.now()
			So(now.Entry, ShouldEqual, one.entry)
			So(now.Spec, ShouldResemble, p.service.Spec)
			if one.entry == 1 {
				So(now.Version, ShouldEqual, "theirs")
				So(now.Timeout, ShouldEqual, time.Minute)
				So(now.Trial, ShouldEqual, 3*time.Second)
				So(now.Keep, ShouldEqual, 3)
			} else {
				So(now.Keep, ShouldEqual, 0)
			}
		})
	}
	Convey("An entry that is no takeover is not matched by what runs, though it is the same", t, func() {
		for _, outcome := range []string{Done, Failed, Running} {
			p := adopted()
			p.history[0].Outcome = outcome
			So(p.now().Entry, ShouldEqual, 0)
		}
	})
	Convey("Of two takeovers, the one counts whose Spec runs", t, func() {
		p := adopted()
		second := *p.history[0]
		second.N, second.After.Entry = 2, 2
		second.After.Spec = made(sent("v2", 0))
		p.history = append(p.history, &second)
		So(p.now().Entry, ShouldEqual, 1)
		p.service = &swarm.Service{Spec: second.After.Spec}
		p.service.Spec.Labels = nil
		second.After.Spec.Labels = nil
		So(p.now().Entry, ShouldEqual, 2)
	})
	Convey("A deploy over a service that was taken over can be gone back to it", t, func() {
		p := adopted().deploys("v2")
		So(p.now().Entry, ShouldEqual, 2)
		So(shown(p.history.Previous(p.now())), ShouldEqual, "theirs")
		So(p.history.Previous(p.now()).Spec.Labels, ShouldResemble, map[string]string{"theirs": "yes"})
	})
	Convey("It is matched also as it is read back from the swarm", t, func() {
		p := adopted()
		labels, text, err := p.history[0].encode()
		So(err, ShouldBeNil)
		read, err := decode(swarm.Config{ID: "id", Spec: swarm.ConfigSpec{Annotations: swarm.Annotations{Name: "web.deploy.1", Labels: labels}, Data: text}})
		So(err, ShouldBeNil)
		So(History{read}.Current(p.service, netNames).Entry, ShouldEqual, 1)
	})
}

func TestWhatMakesAVersion(t *testing.T) {
	Convey("Given two versions that differ only in the ids of their secrets and configs", t, func() {
		one, other := adopted().now(), adopted().now()
		other.Spec.TaskTemplate.ContainerSpec.Secrets[0].SecretID = "another-id"
		other.Spec.TaskTemplate.ContainerSpec.Configs[0].ConfigID = "another-id"

		Convey("they are the same version", func() { So(one.key(), ShouldEqual, other.key()) })
		Convey("to tell that changes neither", func() {
			one.key()
			other.key()
			So(one.Spec.TaskTemplate.ContainerSpec.Secrets[0].SecretID, ShouldEqual, "id-of-token")
			So(other.Spec.TaskTemplate.ContainerSpec.Configs[0].ConfigID, ShouldEqual, "another-id")
			So(one.Spec, ShouldResemble, adopted().service.Spec)
		})
		Convey("with another name of one of them, they are two", func() {
			other.Spec.TaskTemplate.ContainerSpec.Secrets[0].SecretName = "token-2"
			So(one.key(), ShouldNotEqual, other.key())
		})
		Convey("with a config of another name, too", func() {
			other.Spec.TaskTemplate.ContainerSpec.Configs[0].ConfigName = "site-2"
			So(one.key(), ShouldNotEqual, other.key())
		})
	})
	Convey("A service that runs no container has no image, and is a version all the same", t, func() {
		plugin := Snapshot{Spec: swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{Runtime: swarm.RuntimePlugin}}}
		So(plugin.Image(), ShouldBeEmpty)
		So(plugin.key(), ShouldEqual, plugin.key())
		So(plugin.key(), ShouldNotEqual, adopted().now().key())
		So(plugin.Spec.TaskTemplate.ContainerSpec, ShouldBeNil)
	})
}

func TestWhatRunsNow(t *testing.T) {
	Convey("What runs is the engine's Spec, and the rest is of the entry that deployed it", t, func() {
		p := (&past{}).deploys("v1", "v2").byHand(func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.User = "hand" })
		now := p.now()
		So(now.Spec, ShouldResemble, p.service.Spec)
		So(now.Version, ShouldEqual, "v2")
		So(now.Verify.Path, ShouldEqual, "/v2")
		So(now.Trial, ShouldEqual, time.Second)
		So(now.Timeout, ShouldEqual, time.Minute)
		So(now.Keep, ShouldEqual, 3)
		So(now.Made, ShouldResemble, map[string]stack.NetworkSpec{"net": {Driver: "overlay", Labels: map[string]string{"of": "v2"}}})
		So(now.Sent.TaskTemplate.ContainerSpec.Image, ShouldEqual, "v2")
		So(now.Returned.TaskTemplate.ContainerSpec.User, ShouldEqual, "")
		So(now.Networks, ShouldResemble, netNames)
		So(now.Image(), ShouldEqual, "v2")
	})
	Convey("A network that somebody took away by hand keeps its name", t, func() {
		p := (&past{}).deploys("v1").byHand(func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: "net-2"}, {Target: "gone"}}
		})
		So(p.history.Current(p.service, map[string]string{"net-2": "other"}).Networks, ShouldResemble, map[string]string{"net-1": "net", "net-2": "other", "gone": "gone"})
	})
	Convey("Nothing runs where there is no service", t, func() {
		So((&past{}).deploys("v1").history.Current(nil, nil), ShouldBeNil)
	})
	for what, labels := range map[string]map[string]string{
		"without labels": nil, "of an entry that is forgotten": {LabelEntry: "9", LabelVersion: "v9"}, "with a label that is no number": {LabelEntry: "x"},
	} {
		Convey("A service "+what+" is of no entry", t, func() {
			spec := made(sent("v9", 9))
			spec.Labels = labels
			now := (&past{}).deploys("v1").history.Current(&swarm.Service{Spec: spec}, netNames)
			So(now.Entry, ShouldEqual, 0)
			So(now.Sent, ShouldBeNil)
			So(now.Returned, ShouldBeNil)
			So(now.Verify, ShouldBeNil)
			So(now.Version, ShouldEqual, labels[LabelVersion])
		})
	}
}

func TestPreviousOfALongRow(t *testing.T) {
	Convey("Where the same was deployed so often that the entry of what it replaced is gone, that version is found all the same", t, func() {
		p := &past{}
		p.deploys("v1")
		for range Length {
			p.deploys("v2")
		}
		current := p.now()
		So(p.history.Previous(current).Version, ShouldEqual, "v1")
		p.history = append(p.history[:1:1], p.history[2:]...) // As Trim leaves it.
		So(p.history.Previous(current).Version, ShouldEqual, "v1")
	})
}

func TestPlacedIsNoPartOfAVersion(t *testing.T) {
	Convey("A service whose Spec leaves out tasks for a moment is the same version, and its snapshot forgets that", t, func() {
		service := &swarm.Service{Spec: swarm.ServiceSpec{Annotations: swarm.Annotations{Name: "web"}}}
		version := History{}.Current(service, nil)
		service.Spec.Labels = map[string]string{LabelPlaced: "yes"}
		So(version.Runs(service), ShouldBeTrue)
		So(History{}.Current(service, nil).Spec.Labels, ShouldNotContainKey, LabelPlaced)
	})
}
