// Command homeostat keeps an environment inside its normal range.
package main

func main() {}
