// Package flowset says what a switch holds, flows, groups and meters, and what must be sent to make it
// hold something else. It is pure; a Set has one owner at a time.
//
// They go in and come out by value, but their Match, Apply, Other, Buckets and Bands slices
// are shared: nobody may write to them once they are in a Set.
package flowset
