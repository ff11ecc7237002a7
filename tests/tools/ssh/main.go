// A read-only SSH server (RFC 4253) for Git that accepts one key, for tests of fetching over SSH with the real client.
//
// ssh-server HOST-KEY AUTHORIZED-KEY ROOT: listens on loopback, prints its port, and serves the repositories below ROOT until its
// standard input ends.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: ssh-server HOST-KEY AUTHORIZED-KEY ROOT")
	}
	key, err := ssh.ParsePrivateKey(read(os.Args[1]))
	if err != nil {
		log.Fatal(err)
	}
	authorized, _, _, _, err := ssh.ParseAuthorizedKey(read(os.Args[2]))
	if err != nil {
		log.Fatal(err)
	}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
			if bytes.Equal(offered.Marshal(), authorized.Marshal()) {
				return nil, nil
			}
			return nil, fmt.Errorf("unknown key")
		},
	}
	config.AddHostKey(key)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(connection, config, os.Args[3])
	}
}

func read(path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	return text
}

func serve(connection net.Conn, config *ssh.ServerConfig, root string) {
	_, channels, requests, err := ssh.NewServerConn(connection, config)
	if err != nil {
		log.Print(err)
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			offered.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, asked, err := offered.Accept()
		if err != nil {
			return
		}
		go session(channel, asked, root)
	}
}

func session(channel ssh.Channel, asked <-chan *ssh.Request, root string) {
	defer channel.Close()
	for request := range asked {
		// Environment variables of the client are ignored, so Git uses the default protocol version.
		if request.Type != "exec" {
			request.Reply(false, nil)
			continue
		}
		var call struct{ Command string }
		if err := ssh.Unmarshal(request.Payload, &call); err != nil {
			request.Reply(false, nil)
			return
		}
		request.Reply(true, nil)
		status := uploadPack(channel, call.Command, root)
		channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

func uploadPack(channel ssh.Channel, command, root string) uint32 {
	path, ok := strings.CutPrefix(command, "git-upload-pack '/")
	path, quoted := strings.CutSuffix(path, "'")
	if !ok || !quoted || !filepath.IsLocal(path) {
		fmt.Fprintf(channel.Stderr(), "not served: %q\n", command)
		return 128
	}
	git := exec.Command("git", "upload-pack", filepath.Join(root, path))
	git.Stdout, git.Stderr = channel, channel.Stderr()
	// Not Stdin of the command: Wait would block until the client closes it.
	input, err := git.StdinPipe()
	if err != nil {
		fmt.Fprintln(channel.Stderr(), err)
		return 128
	}
	go func() {
		io.Copy(input, channel)
		input.Close()
	}()
	if err := git.Start(); err != nil {
		fmt.Fprintln(channel.Stderr(), err)
		return 128
	}
	if err := git.Wait(); err != nil {
		return 128
	}
	return 0
}
