variable "name" {
  description = "Name of everything."
  type        = string
}

variable "component" {
  description = "The component's name in the app's file."
  type        = string
}

variable "resource_group" {
  description = "The region's resource group."
  type        = string
}

variable "location" {
  description = "Azure's name of the region."
  type        = string
}

variable "zones" {
  description = "Availability zones; none where the region has none."
  type        = list(string)
}

variable "subnet_id" {
  description = "Subnet of the machines."
  type        = string
}

variable "serving" {
  description = "Whether the region serves clients; from roles.auto.tfvars.json."
  type        = bool
}

variable "full_size" {
  description = "Instances that bear the whole load."
  type        = number
}

variable "standby_size" {
  description = "Instances while another region serves."
  type        = number
}

variable "max_size" {
  description = "Most instances that autoscale may run."
  type        = number
}

variable "instance_type" {
  description = "VM size."
  type        = string
}

variable "image" {
  description = "Image version in a compute gallery that replicates it to every region of the app."
  type        = string
}

variable "port" {
  description = "TCP port of the instances."
  type        = number
}

variable "client_port" {
  description = "TCP port that clients ask: 443 where the application speaks TLS."
  type        = number
}

variable "check_protocol" {
  description = "How its health is asked: Http, Https or Tcp. A wrong one has healthy machines replaced again and again."
  type        = string
}

variable "check_path" {
  description = "Path that answers 200 on a healthy instance; null where a connection is all that is asked."
  type        = string
  default     = null
}

variable "balancer" {
  description = "The region's public load balancer and the component's address on it; null: no route leads to the component."
  type        = object({ id = string, frontend = string })
  default     = null
}

variable "identity_id" {
  description = "The component's own identity in this region."
  type        = string
}

variable "ssh_public_key" {
  description = "Public key of those who may log in."
  type        = string
}

variable "environment" {
  description = "Where the application finds what it needs; in /etc/default below the component's name."
  type        = map(string)
}
