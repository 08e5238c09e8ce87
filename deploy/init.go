package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"goblog/deploy/build"
	"goblog/deploy/progress"
	"goblog/deploy/scaffold"
)

// initFiles writes the files that are needed to deploy the service in this directory.
func initFiles(_ context.Context, o *options, out *progress.Printer) error {
	if len(o.arguments) > 0 {
		return usage("init takes no argument, but got '%s': it writes to this directory", o.arguments[0])
	}
	service, err := scaffold.Find(".", o.wishes)
	if err != nil {
		return &usageError{err.Error()}
	}
	files, err := service.Files()
	if err != nil {
		return err
	}
	if err := scaffold.Check(".", files); err != nil {
		return &usageError{err.Error()}
	}
	written, kept, err := scaffold.Write(".", files)
	if len(written) > 0 {
		out.Step("Written for %s, %s:", service.Name, service.Kind())
	}
	for _, path := range written {
		out.Detail("%s", path)
	}
	if len(kept) > 0 {
		out.Step("These files exist already, and are not changed:")
	}
	for _, path := range kept {
		out.Detail("%s", path)
	}
	if err != nil {
		return failed(err.Error(), "fix the cause, and run this again: it never changes a file that exists")
	}
	sayNext(service, out)
	return nil
}

// sayNext prints the next steps for a person.
func sayNext(service scaffold.Service, out *progress.Printer) {
	out.Step("Next:")
	out.Detail("look at stack.yml: GET %s on port %d must answer with status 200, or a deploy fails", service.Path, service.Port)
	if service.PortGuessed {
		out.Detail("port %d is a guess, because no EXPOSE in a Dockerfile names the port: change it in stack.yml if the service uses another port", service.Port)
	}
	if build.Version(".") == build.NoVersion {
		out.Detail("this directory has no git commit yet, so each version is called %s: commit before you deploy, or set VERSION", build.NoVersion)
	}
	if service.Package != "" {
		out.Detail("let git ignore /build/, where the compiled binaries are")
	}
	if _, err := exec.LookPath("deploy"); err != nil {
		out.Detail("put this program on the PATH, under the name deploy: the scripts call it")
	}
	out.Detail("deploy: scripts/copyall.sh; see what runs: scripts/status.sh; go back: scripts/rollback.sh")
	out.Detail("deploy from GitHub: the first lines of .github/workflows/deploy.yml say what it needs")
	here, err := os.Getwd()
	if err != nil {
		return
	}
	if resolved, err := filepath.EvalSymlinks(here); err == nil && build.Root(resolved) != resolved {
		out.Detail("GitHub reads workflows at the top of the checkout only: move .github there, and add defaults.run.working-directory to the workflow")
	}
}
