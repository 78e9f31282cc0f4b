// The Python module pjsua2: upstream's binding and, beside it, what the bridge needs of PJSIP.
%module(directors="1") pjsua2

// SWIG's own types lack __module__, which Python 3.12 and later report on import. With warnings
// as errors the import would fail, so the binary part is loaded once with that report silenced.
%pythonbegin %{
import warnings as _warnings

with _warnings.catch_warnings():
    _warnings.simplefilter("ignore", DeprecationWarning)
    if __package__ or "." in __name__:
        from . import _pjsua2
    else:
        import _pjsua2
%}

// Upstream's own does all that is needed, and need not go through Python for it.
%feature("nodirector") pj::Call::onCreateMediaTransport;

%include "pjsua2.i"

%{
#include "build_limits.hpp"
#include "call_callbacks.hpp"
#include "dummy_codecs.hpp"
#include "request_limiter.hpp"
#include "sip_module.hpp"
%}

%feature("director") pj::SipModule;

// Upstream's rule prints the error and then converts a missing result, which crashes where the
// callback has one. Here the error goes to sys.unraisablehook and the request is answered in C++.
%feature("director:except") pj::SipModule::onRxRequest {
    if ($error != NULL) {
        PyErr_WriteUnraisable(swig_get_self());
        throw pj::CallbackFailed();
    }
}
%typemap(directorout) bool pj::SipModule::onRxRequest {
    $result = PyObject_IsTrue($input) == 1;
}

%include "build_limits.hpp"
%include "call_callbacks.hpp"
%include "dummy_codecs.hpp"
%include "request_limiter.hpp"
%include "sip_module.hpp"
