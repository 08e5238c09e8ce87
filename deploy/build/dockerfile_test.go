package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestReadDockerfile(t *testing.T) {
	Convey("Given a Dockerfile with comments, long lines and a heredoc", t, func() {
		path := filepath.Join(t.TempDir(), "Dockerfile")
		put(path, "# syntax=docker/dockerfile:1\nfrom\tpython:3 AS base\n\nRUN <<EOF\nEXPOSE 1\nEOF\nENV A=1 \\\n  # of both\n    B=2\nExpose 80 # 443\n")
		Convey("its instructions are read one by one", func() {
			found, err := ReadDockerfile(path)
			So(err, ShouldBeNil)
			So(found, ShouldResemble, []Instruction{{"FROM", "python:3 AS base"}, {"RUN", "<<EOF"}, {"ENV", "A=1  B=2"}, {"EXPOSE", "80 # 443"}})
		})
	})
}

func TestBaseImage(t *testing.T) {
	for text, want := range map[string]bool{
		"ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n":         true,
		"arg BASE_IMAGE=scratch\nFROM ${BASE_IMAGE}\n": true,
		"ARG A=1 BASE_IMAGE=x\nFROM ${BASE_IMAGE}\n":   true,
		"FROM scratch\n":                                   false,
		"# ARG BASE_IMAGE\nFROM scratch\n":                 false,
		"ARG MY_BASE_IMAGE\nFROM ${MY_BASE_IMAGE}\n":       false,
		"FROM scratch\nLABEL base=\"ARG BASE_IMAGE is\"\n": false,
	} {
		Convey("A Dockerfile takes the image to build on only where it has the argument: "+text, t, func() {
			path := filepath.Join(t.TempDir(), "Dockerfile")
			put(path, text)
			taken, err := takesBase(path)
			So(err, ShouldBeNil)
			So(taken, ShouldEqual, want)
		})
	}
	Convey("For a Dockerfile that does not take it, no engine is asked for an image to build on", t, func() {
		b, service, said := checkout(t)
		b.BaseImage = "nowhere/base" // There is no engine here: a question would be a panic.
		tag, err := b.Tag(context.Background(), service)
		So(err, ShouldBeNil)
		So(tag, ShouldStartWith, "example/web:sha-")
		So(*said, ShouldBeEmpty)
	})
	Convey("A Dockerfile that is not there is an error", t, func() {
		b, service, _ := checkout(t)
		So(os.Remove(service.Build.Dockerfile), ShouldBeNil)
		_, err := b.Tag(context.Background(), service)
		So(errors.Is(err, os.ErrNotExist), ShouldBeTrue)
	})
}
