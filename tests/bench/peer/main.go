// peer is an admission webhook for CustomNBImage written with controller-runtime.
package main

import (
	"crypto/tls"
	"flag"
	"net"
	"os"
	"strconv"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9443", "where the API server calls")
	probes := flag.String("probes", "127.0.0.1:8081", "where /healthz and /readyz are served")
	metrics := flag.String("metrics", "127.0.0.1:8082", "where /metrics is served")
	certificates := flag.String("certificates", "", "folder of tls.crt and tls.key")
	configuration := flag.String("configuration", "", "file with the configuration")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	log := ctrl.Log.WithName("peer")
	if err := run(*listen, *probes, *metrics, *certificates, *configuration); err != nil {
		log.Error(err, "cannot go on")
		os.Exit(1)
	}
}

func run(listen, probes, metrics, certificates, configuration string) error {
	config, err := readConfig(configuration)
	if err != nil {
		return err
	}
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(authorizationv1.AddToScheme(scheme))
	utilruntime.Must(addToScheme(scheme))

	rest, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	// A review needs one or two reads; the client's default rate limit would be the bottleneck.
	rest.QPS = -1
	manager, err := ctrl.NewManager(rest, ctrl.Options{
		Scheme:                 scheme,
		HealthProbeBindAddress: probes,
		Metrics:                metricsserver.Options{BindAddress: metrics},
		WebhookServer: webhook.NewServer(webhook.Options{
			Host:    host,
			Port:    port,
			CertDir: certificates,
			// Kubebuilder's scaffold disables HTTP/2 because of rapid reset.
			TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }},
		}),
		// No cache: a review may refer to an object that was created a moment ago.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.Namespace{}}}},
	})
	if err != nil {
		return err
	}
	hook := &hook{reader: manager.GetAPIReader(), client: manager.GetClient(), config: config}
	err = ctrl.NewWebhookManagedBy(manager, &CustomNBImage{}).
		WithDefaulter(hook).
		WithDefaulterCustomPath("/mutate").
		WithValidator(hook).
		WithValidatorCustomPath("/validate").
		Complete()
	if err != nil {
		return err
	}
	if err := manager.AddHealthzCheck("alive", manager.GetWebhookServer().StartedChecker()); err != nil {
		return err
	}
	if err := manager.AddReadyzCheck("serves", manager.GetWebhookServer().StartedChecker()); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}
