// Command broken does not compile: a deploy of it must not get as far as the swarm.
package main

func main() {
	var number int = "not a number"
}
