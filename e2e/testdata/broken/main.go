// Command broken does not compile: its deploy must end before it changes the swarm.
package main

func main() {
	var number int = "not a number"
}
